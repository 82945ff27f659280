//! Virtual Meshtastic radios: the command. It opens the ports, says "ready", and lets time pass.
//!
//! The simulation is [`meshnet_radiosim::Air`]; this is its thin front of sockets, ptys and a clock.

use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Parser as _;
use meshnet_radiosim::{Air, NodeNum, RadioId};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

mod front;

use front::args::{Args, PortSpec};
use front::clock::Clock;
use front::connection::FromHost;
use front::world::{Order, World};
use front::{control, listen};

/// Events that wait for the world's task.
const EVENTS: usize = 64;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    args.check()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(run(args));
    // A thread that still waits for standard input is not waited for.
    runtime.shutdown_background();
    result
}

async fn run(args: Args) -> anyhow::Result<()> {
    let clock = Clock::new(args.speed)?;
    let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut air = Air::new(args.air(unix_time), args.seed, clock.now());
    for radio in &args.radios {
        air.add_radio(args.radio(radio.num), clock.now());
    }
    let find = |air: &Air, num| air.radio(num).context("there is no such radio");
    for (from, to, hearing) in &args.hears {
        let (from, to) = (find(&air, *from)?, find(&air, *to)?);
        air.set_hearing(from, to, *hearing);
    }
    let ledger = args
        .ledger
        .as_deref()
        .map(|path| std::fs::File::create(path).with_context(|| format!("creating {}", path.display())));
    let (to_world, mut from_hosts) = mpsc::channel(EVENTS);
    let (orders, mut from_control) = mpsc::channel(EVENTS);
    let mut world = World::new(air, clock, ledger.transpose()?, to_world.clone());
    let mut ports = Vec::new();
    for (radio, spec) in world.air().radios().zip(&args.radios) {
        ports.push(open(&mut world, radio, spec.port.as_ref(), &to_world)?);
    }
    // The world runs as long as orders may come: without a control port, for ever.
    let _open = match &args.control {
        Some(path) => {
            open_control(path, orders)?;
            None
        }
        None => Some(orders),
    };
    say(&format!("ready {}", json!({ "radios": ports })))?;

    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = world.run(&mut from_hosts, &mut from_control) => result?,
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    world.write_ledger()?;
    if args.summary {
        say(&control::totals(world.air())?.to_string())?;
    }
    Ok(())
}

/// Opens a radio's client port; returns how it is announced.
fn open(
    world: &mut World,
    radio: RadioId,
    port: Option<&PortSpec>,
    to_world: &mpsc::Sender<FromHost>,
) -> anyhow::Result<serde_json::Value> {
    let (to_world, drained) = (to_world.clone(), world.drained.clone());
    let mut announced = json!({ "node": NodeNum(world.air().num(radio)) });
    match port {
        None => {}
        Some(PortSpec::Tcp(address)) => {
            announced["tcp"] = json!(listen::tcp(*address, radio, to_world, drained)?);
        }
        Some(PortSpec::Netns { name, address }) => {
            announced["netns"] = json!(name);
            announced["tcp"] = json!(listen::netns(name, *address, radio, to_world, drained)?);
        }
        Some(PortSpec::Unix(path)) => {
            listen::unix(path, radio, to_world, drained)?;
            announced["unix"] = json!(path);
        }
        Some(PortSpec::Pty(path)) => {
            world.plug_in(radio, path.clone())?;
            announced["pty"] = json!(path);
        }
    }
    Ok(announced)
}

fn open_control(path: &Path, orders: mpsc::Sender<Order>) -> anyhow::Result<()> {
    if path == Path::new("-") {
        tokio::spawn(take_orders(tokio::io::stdin(), tokio::io::stdout(), orders));
        return Ok(());
    }
    let listener = listen::bind_unix(path)?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(listen::ACCEPT_AGAIN).await;
                continue;
            };
            let (reader, writer) = stream.into_split();
            tokio::spawn(take_orders(reader, writer, orders.clone()));
        }
    });
    Ok(())
}

/// Answers commands until their source ends.
async fn take_orders(
    reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    orders: mpsc::Sender<Order>,
) {
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.trim().is_empty() {
            continue;
        }
        let (answer, answered) = oneshot::channel();
        if orders.send((line, answer)).await.is_err() {
            return;
        }
        let Ok(answer) = answered.await else { return };
        if writer.write_all(format!("{answer}\n").as_bytes()).await.is_err() || writer.flush().await.is_err()
        {
            return;
        }
    }
}

/// Prints a line at once, whatever standard output is.
fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("writing to standard output")
}
