//! The issuer: turns a verified ID token and a certificate request into a client certificate that lives for minutes.
