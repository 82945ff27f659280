//! `meshctl ping`

use clap::Args;

use super::peer::OnePeer;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// Ping a peer through the tunnel
///
/// Each answer's time stands beside the least that its way over the air can take. Every ping spends airtime at both ends.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl ping cabin
  meshctl ping 10.42.0.2 --count 10 --interval 60")]
pub(crate) struct Ping {
    #[command(flatten)]
    peer: OnePeer,
    /// How many pings
    #[arg(long, short, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// Bytes of data in each
    #[arg(long, short, value_name = "BYTES", default_value_t = 8, value_parser = clap::value_parser!(u16).range(0..=1400))]
    size: u16,
    /// Seconds from an answer, or its absence, to the next ping
    #[arg(long, short, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    interval: u32,
    /// Seconds to wait for an answer; 0: as long as the path may take
    #[arg(long, short = 'W', value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3600))]
    timeout: u32,
}

impl Ping {
    /// Pings.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = (context, self.peer, self.count, self.size, self.interval, self.timeout);
        Err(Error::failure("ping is not there yet"))
    }
}
