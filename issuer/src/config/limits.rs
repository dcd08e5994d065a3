use std::time::Duration;

use super::section::Section;
use super::{HOUR, MINUTE};
use crate::server::Limits;

/// Limits of connections, and how long a body may take to arrive.
pub(super) fn read(section: Option<Section<'_>>) -> (Option<Limits>, Option<Duration>) {
    let seconds = Duration::from_secs;
    let default = Limits {
        connections: 1024,
        handshake: seconds(10),
        header: seconds(10),
        connection: 5 * MINUTE,
        shutdown: seconds(30),
    };
    let Some(mut section) = section else {
        return (Some(default), Some(seconds(10)));
    };
    let short = seconds(1)..=2 * MINUTE;
    let connections = section.number("maxConnections", default.connections, 1..=100_000);
    let handshake = section.duration("handshakeTimeout", default.handshake, short.clone());
    let header = section.duration("headerTimeout", default.header, short.clone());
    let body = section.duration("bodyTimeout", seconds(10), short.clone());
    let connection = section.duration("connectionLifetime", default.connection, seconds(1)..=24 * HOUR);
    let shutdown = section.duration("shutdownTimeout", default.shutdown, short);
    section.finish();
    let limits = (|| {
        Some(Limits {
            connections: connections?,
            handshake: handshake?,
            header: header?,
            connection: connection?,
            shutdown: shutdown?,
        })
    })();
    (limits, body)
}
