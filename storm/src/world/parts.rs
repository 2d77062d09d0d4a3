//! Who takes part, and how they are linked.

use serde::Serialize;

/// A process of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Process {
    /// The first command API.
    Command0,
    /// The second one, on the same database.
    Command1,
    /// The first projector.
    Projector0,
    /// The second one, which waits for leases or has some.
    Projector1,
    /// The query API.
    Query,
}

impl Process {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Command0, Self::Command1, Self::Projector0, Self::Projector1, Self::Query];

    /// Those that take commands.
    pub const COMMANDS: [Self; 2] = [Self::Command0, Self::Command1];

    /// Those that follow the log.
    pub const PROJECTORS: [Self; 2] = [Self::Projector0, Self::Projector1];

    /// Its program.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Command0 | Self::Command1 => "command-api",
            Self::Projector0 | Self::Projector1 => "projector",
            Self::Query => "query-api",
        }
    }

    /// Its name in logs and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command0 => "command-api-0",
            Self::Command1 => "command-api-1",
            Self::Projector0 => "projector-0",
            Self::Projector1 => "projector-1",
            Self::Query => "query-api",
        }
    }

    /// Its links, as far as it has such peers.
    #[must_use]
    pub const fn peers(self) -> &'static [Peer] {
        match self {
            Self::Command0 | Self::Command1 => &[Peer::Postgres, Peer::Nats, Peer::Clients],
            Self::Projector0 | Self::Projector1 => &[Peer::Postgres, Peer::Nats],
            Self::Query => &[Peer::Postgres, Peer::Clients],
        }
    }
}

/// The other end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Peer {
    /// The process connects to PostgreSQL.
    Postgres,
    /// The process connects to NATS.
    Nats,
    /// Clients connect to the process.
    Clients,
}

/// A link of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct LinkName {
    /// Whose.
    pub process: Process,
    /// To what.
    pub peer: Peer,
}

impl LinkName {
    /// Every link there is.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let of = |process: Process| process.peers().iter().map(move |peer| Self { process, peer: *peer });
        Process::ALL.into_iter().flat_map(of).collect()
    }
}

impl std::fmt::Display for LinkName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let program = self.process.program();
        match self.peer {
            Peer::Postgres => write!(f, "{program}->postgres"),
            Peer::Nats => write!(f, "{program}->nats"),
            Peer::Clients => write!(f, "client->{program}"),
        }
    }
}
