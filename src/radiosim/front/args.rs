//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Parser, ValueEnum};
use meshnet_proto::meshtastic::airtime::{PRESETS, Preset, Region};
use meshnet_radiosim::{
    Acquainted, AirConfig, Burst, ChannelConfig, Faults, Hearing, NodeNum, RadioConfig, Role,
};

const CONTROL_HELP: &str = r#"Take commands on this Unix socket, or with "-" on standard input; the end of standard input then ends all.

Each line is a JSON object, and is answered by {"ok":...} or {"error":"..."}:
  {"reboot":"!a0000001"}             reset a radio; TCP clients are cut off
  {"reboot_forgetting":"!a0000001"}  the same, and its node database with all keys is lost
  {"evict":"!a0000001"}              another client takes the port: the present one is closed
  {"stall":"!a0000001"}              the network to the present client swallows everything, without a FIN
  {"resume":"!a0000001"}             it no longer does
  {"unplug":"!a0000001"}             a pty hangs up and vanishes
  {"plug":"!a0000001"}               it is back
  {"loss":0.2}                       the share of receptions lost; likewise "duplicate", "reorder", "corrupt"
  {"burst":{"good_ms":9000,"bad_ms":1000,"loss":1}}   or {"burst":null}
  {"reorder_delay_ms":1000}
  {"hears":{"from":"!a0000001","to":"!a0000002","snr":-5,"loss":0.1}}   without "snr": not at all
  {"ledger":false}                   pause the ledger, or with true go on
  {"totals":null}                    what each radio sent so far"#;

/// Virtual Meshtastic radios on one simulated LoRa channel.
///
/// Each radio answers the Meshtastic client API on a port of its own: the official clients, meshnetd and anything else
/// that talks to a radio on TCP or on a serial port can use it. When all ports are open, one line "ready {...}" with
/// the ports as JSON goes to standard output.
#[derive(Debug, Parser)]
#[command(version, after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// A radio and its client port: NODE=tcp:ADDRESS:PORT, NODE=unix:PATH, NODE=pty:PATH (a symbolic link to a pty),
    /// NODE=netns:NAME:ADDRESS:PORT (TCP in a network namespace, by its name under /run/netns or its path), or NODE alone
    /// for a radio without a host. Repeat for more radios; port 0 takes a free one.
    #[arg(long = "radio", value_name = "NODE=PORT", required = true)]
    pub(crate) radios: Vec<RadioSpec>,

    /// The modem preset of all radios.
    #[arg(long, value_name = "NAME", default_value = "LONG_FAST", value_parser = parse_preset)]
    preset: Preset,

    /// The region of all radios; UNSET never transmits.
    #[arg(long, value_name = "NAME", default_value = "EU_868", value_parser = parse_region)]
    region: i32,

    /// A channel of all radios, the primary one first: its name (empty for the preset's), and maybe =KEY in hex.
    #[arg(long = "channel", value_name = "NAME[=KEY]", value_parser = parse_channel)]
    channels: Vec<ChannelConfig>,

    /// How many hops a packet takes that does not choose.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    hop_limit: u8,

    /// Whose public keys the radios have at the start.
    #[arg(long, value_enum, default_value_t = Keys::All)]
    keys: Keys,

    /// A role other than "client": "client-mute" or "router".
    #[arg(long = "role", value_name = "NODE=ROLE", value_parser = parse_role)]
    roles: Vec<(u32, Role)>,

    /// A radio in ham mode: no radio-to-radio encryption.
    #[arg(long = "ham", value_name = "NODE", value_parser = parse_node)]
    ham: Vec<u32>,

    /// Ignore the region's duty cycle.
    #[arg(long)]
    override_duty_cycle: bool,

    /// Radios do not learn next hops, as if all frames came from meshtasticd's own simulated radio. Without it, whoever
    /// sends unicasts with a hop limit pays for an acknowledgement or a repetition of each.
    #[arg(long)]
    no_next_hop: bool,

    /// How many packets wait for a host that does not read: 8, 16, 32 or 100 by the hardware.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u8).range(1..=100))]
    to_phone: u8,

    /// Seconds between a radio's measurements for its own host; 0 for never.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    telemetry: u64,

    /// No node info after boot and every three hours.
    #[arg(long)]
    no_node_info: bool,

    /// Log lines between the frames of serial ports.
    #[arg(long)]
    debug_log: bool,

    /// How one radio hears another: A>B=none, or A>B=SNR[,LOSS] with SNR in dB (-20 to 10). Everyone hears everyone
    /// at 6 dB where nothing is said.
    #[arg(long = "hears", value_name = "A>B=SNR[,LOSS]", value_parser = parse_link)]
    pub(crate) hears: Vec<(u32, u32, Option<Hearing>)>,

    /// The share of receptions that are lost, each by itself.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    loss: f64,

    /// Losses in bursts: the mean length of good and of bad times in milliseconds, and the share lost in bad times.
    #[arg(long, value_name = "GOOD,BAD,SHARE", value_parser = parse_burst)]
    burst: Option<Burst>,

    /// The share of packets that the host gets twice.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    duplicate: f64,

    /// The share of packets that the host gets late.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    reorder: f64,

    /// How late at most, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    reorder_delay: u64,

    /// The share of packets that the host gets with a wrong byte.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    corrupt: f64,

    /// The seed of all chance.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// How many times faster than real time everything goes on the air and in the radios. Hosts keep their own time: above 3,
    /// a meshnetd with nothing to send is cut off for its silence, 15 minutes of the radio's.
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = parse_speed)]
    pub(crate) speed: f64,

    /// Write every transmission to this file, one JSON object per line.
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,

    /// At the end, print what each radio sent in total, as JSON.
    #[arg(long)]
    pub(crate) summary: bool,

    /// Take commands on this Unix socket, or with "-" on standard input; the end of standard input then ends all.
    #[arg(long, value_name = "PATH", long_help = CONTROL_HELP)]
    pub(crate) control: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  meshnet-radiosim --radio '!a0000001=tcp:127.0.0.1:4403' --radio '!a0000002=tcp:127.0.0.1:4404'
  meshtastic --host 127.0.0.1 --info

  meshnet-radiosim --radio '!a0000001=pty:/tmp/radio1' --radio '!a0000002=netns:blue:127.0.0.1:4403' \\
      --preset SHORT_FAST --loss 0.05 --ledger air.jsonl --summary";

/// A radio and how its host reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RadioSpec {
    pub(crate) num: u32,
    pub(crate) port: Option<PortSpec>,
}

/// A client port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PortSpec {
    Tcp(SocketAddr),
    Netns { name: String, address: SocketAddr },
    Unix(PathBuf),
    Pty(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Keys {
    /// Everyone's.
    All,
    /// Nobody's: they meet over the air.
    None,
}

impl Args {
    pub(crate) fn air(&self, unix_time: u64) -> AirConfig {
        AirConfig {
            unix_time,
            faults: Faults {
                loss: self.loss,
                burst: self.burst,
                duplicate: self.duplicate,
                reorder: self.reorder,
                reorder_delay: Duration::from_millis(self.reorder_delay),
                corrupt: self.corrupt,
            },
            hearing: Some(Hearing::default()),
            ledger: self.ledger.is_some(),
        }
    }

    pub(crate) fn radio(&self, num: u32) -> RadioConfig {
        let role = self.roles.iter().find(|(node, _)| *node == num).map(|(_, role)| *role);
        let channels =
            if self.channels.is_empty() { vec![ChannelConfig::default()] } else { self.channels.clone() };
        RadioConfig {
            preset: self.preset,
            region: self.region,
            hop_limit: self.hop_limit,
            override_duty_cycle: self.override_duty_cycle,
            channels,
            role: role.unwrap_or_default(),
            licensed: self.ham.contains(&num),
            acquainted: match self.keys {
                Keys::All => Acquainted::All,
                Keys::None => Acquainted::Nobody,
            },
            learns_next_hop: !self.no_next_hop,
            to_phone: self.to_phone.into(),
            telemetry: (self.telemetry > 0).then(|| Duration::from_secs(self.telemetry)),
            node_info: !self.no_node_info,
            debug_log: self.debug_log,
            ..RadioConfig::new(num)
        }
    }

    /// Checks what no single option can know.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let nums: std::collections::BTreeSet<u32> = self.radios.iter().map(|radio| radio.num).collect();
        ensure!(nums.len() == self.radios.len(), "two radios have the same node number");
        ensure!(self.channels.len() <= 8, "a radio has at most eight channels");
        let named = (self.hears.iter().flat_map(|(from, to, _)| [*from, *to]))
            .chain(self.roles.iter().map(|(num, _)| *num))
            .chain(self.ham.iter().copied());
        for num in named {
            ensure!(nums.contains(&num), "there is no radio {}", NodeNum(num));
        }
        Ok(())
    }
}

impl FromStr for RadioSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (node, port) = match text.split_once('=') {
            Some((node, port)) => (node, Some(port.parse()?)),
            None => (text, None),
        };
        Ok(Self { num: parse_node(node)?, port })
    }
}

impl FromStr for PortSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (kind, rest) =
            text.split_once(':').context("a port is tcp:, unix:, pty: or netns:, and where")?;
        match kind {
            "tcp" => Ok(Self::Tcp(rest.parse().context("tcp: takes ADDRESS:PORT")?)),
            "unix" => Ok(Self::Unix(rest.into())),
            "pty" => Ok(Self::Pty(rest.into())),
            "netns" => {
                let (name, address) = rest.split_once(':').context("netns: takes NAME:ADDRESS:PORT")?;
                let address = address.parse().context("netns: takes NAME:ADDRESS:PORT")?;
                Ok(Self::Netns { name: name.into(), address })
            }
            other => bail!("a port is tcp:, unix:, pty: or netns:, not {other}:"),
        }
    }
}

/// Reads a node number as users write it: `!` and eight hex digits.
pub(crate) fn parse_node(text: &str) -> anyhow::Result<u32> {
    let digits = text.strip_prefix('!').filter(|digits| digits.len() == 8);
    let num = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let num = num.with_context(|| format!("{text:?} is no node: one is written !a0000001"))?;
    ensure!(num != 0 && num != u32::MAX, "{text} is nobody's node number");
    Ok(num)
}

fn parse_preset(text: &str) -> anyhow::Result<Preset> {
    let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
    Preset::by_name(text).with_context(|| format!("the presets are {}", names.join(", ")))
}

fn parse_region(text: &str) -> anyhow::Result<i32> {
    Region::number_of(text).context("the regions are named as in the official client: EU_868, US, UNSET...")
}

fn parse_channel(text: &str) -> anyhow::Result<ChannelConfig> {
    let Some((name, key)) = text.split_once('=') else {
        return Ok(ChannelConfig { name: text.into(), ..ChannelConfig::default() });
    };
    ensure!(key.len() % 2 == 0 && key.is_ascii(), "a key is 0, 1, 16 or 32 bytes in hex");
    let byte = |at: usize| u8::from_str_radix(&key[at..at + 2], 16);
    let psk: Vec<u8> = (0..key.len()).step_by(2).map(byte).collect::<Result<_, _>>()?;
    ensure!(matches!(psk.len(), 0 | 1 | 16 | 32), "a key is 0, 1, 16 or 32 bytes in hex");
    Ok(ChannelConfig { name: name.into(), psk })
}

fn parse_role(text: &str) -> anyhow::Result<(u32, Role)> {
    let (node, role) = text.split_once('=').context("a role is given as NODE=ROLE")?;
    let role = match role {
        "client" => Role::Client,
        "client-mute" => Role::ClientMute,
        "router" => Role::Router,
        other => bail!("the roles are client, client-mute and router, not {other}"),
    };
    Ok((parse_node(node)?, role))
}

fn parse_link(text: &str) -> anyhow::Result<(u32, u32, Option<Hearing>)> {
    let (way, quality) = text.split_once('=').context("A>B=SNR[,LOSS] or A>B=none")?;
    let (from, to) = way.split_once('>').context("A>B=SNR[,LOSS] or A>B=none")?;
    let hearing = if quality == "none" {
        None
    } else {
        let (snr, loss) = quality.split_once(',').unwrap_or((quality, "0"));
        Some(Hearing { snr: snr.parse()?, loss: parse_share(loss)? })
    };
    Ok((parse_node(from)?, parse_node(to)?, hearing))
}

fn parse_burst(text: &str) -> anyhow::Result<Burst> {
    let parts: Vec<_> = text.split(',').collect();
    let [good, bad, loss] = parts[..] else { bail!("GOOD,BAD,SHARE: two times in milliseconds and a share") };
    Ok(Burst {
        good: Duration::from_millis(good.parse()?),
        bad: Duration::from_millis(bad.parse()?),
        loss: parse_share(loss)?,
    })
}

pub(crate) fn parse_share(text: &str) -> anyhow::Result<f64> {
    let share: f64 = text.parse()?;
    ensure!((0.0..=1.0).contains(&share), "a share is between 0 and 1");
    Ok(share)
}

fn parse_speed(text: &str) -> anyhow::Result<f64> {
    let speed: f64 = text.parse()?;
    ensure!((0.001..=10_000.0).contains(&speed), "a speed is between 0.001 and 10000");
    Ok(speed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("meshnet-radiosim").chain(line.split(' ')))
    }

    #[test]
    fn every_kind_of_port_is_understood() {
        let port = |text: &str| text.parse::<RadioSpec>().unwrap().port;
        assert_eq!(port("!a0000001"), None);
        assert_eq!(port("!a0000001=tcp:127.0.0.1:0"), Some(PortSpec::Tcp("127.0.0.1:0".parse().unwrap())));
        assert_eq!(port("!a0000001=pty:/run/radio"), Some(PortSpec::Pty("/run/radio".into())));
        assert_eq!(port("!a0000001=unix:/run/radio"), Some(PortSpec::Unix("/run/radio".into())));
        let address = "[::1]:4403".parse().unwrap();
        let blue = PortSpec::Netns { name: "blue".into(), address };
        assert_eq!(port("!a0000001=netns:blue:[::1]:4403"), Some(blue));
    }

    #[test]
    fn nonsense_is_refused_with_what_would_be_right() {
        for (line, hint) in [
            ("--radio a0000001", "!a0000001"),
            ("--radio !a0000001=http:1", "tcp:, unix:, pty: or netns:"),
            ("--radio !a0000001 --preset FAST", "LONG_FAST"),
            ("--radio !a0000001 --loss 5", "between 0 and 1"),
            ("--radio !a0000001 --channel x=0g", "hex"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(hint) || hint == "hex", "{line}: {error}");
        }
        assert!(parse("--radio !a0000001 --hears !a0000001>!a0000002=none").unwrap().check().is_err());
        assert!(parse("--radio !a0000001 --radio !a0000001").unwrap().check().is_err());
    }
}
