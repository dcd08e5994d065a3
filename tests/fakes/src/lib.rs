//! Signs tokens and certificate requests as an identity provider or a client would, with keys made at run time.
