//! `meshctl top`

mod columns;
mod history;
mod peers;
mod view;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use meshnet_bus::describe::Network;
use meshnet_bus::names::Instance;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use self::history::History;
use self::view::View;
use super::OneNetwork;
use crate::bus::{Bus, Presence};
use crate::context::Context;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::overview::Row;
use crate::runtime;

/// Watch a network live: peers, every path to them and what it has cost, airtime
///
/// Below a peer is why its path is the one in use, and every other way to it; where there is no room for those of all peers, they
/// are shown for one, which the arrow keys choose. COST is what sending has taken: the air, or bytes where there is none. Nothing
/// is sent over the air for it. q ends it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl top
  meshctl top mesh0 --interval 5")]
pub(crate) struct Top {
    #[command(flatten)]
    network: OneNetwork,
    /// Seconds between looks
    #[arg(long, short, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3600))]
    interval: u32,
}

impl Top {
    /// Watches.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        if context.wants_json() {
            return Err(
                Error::usage("top has no JSON form").hint("\"meshctl show --json\" has what it shows")
            );
        }
        if !context.is_terminal() || !io::stdin().is_terminal() {
            return Err(Error::usage("top needs a terminal").hint("\"meshctl show\" answers everywhere"));
        }
        runtime::block_on(async {
            let bus = Bus::connect().await?;
            let daemon = Daemon::open(&bus, &self.network, context).await?;
            // Before the screen is taken, so that what goes wrong at once is told as usual.
            let network = daemon.describe().await?;
            // Nor is there a moment when a signal would end the process with the screen taken.
            let stop = runtime::stopped()?;
            let screen = Screen::take()?;
            tokio::select! {
                done = self.watch(screen, &daemon, network, context) => done?,
                () = stop => {}
            }
            Ok(Exit::Success)
        })
    }

    async fn watch(
        &self,
        mut screen: Screen,
        daemon: &Daemon<'_>,
        network: Network,
        context: &Context,
    ) -> Result<(), Error> {
        let mut keys = keys();
        let interval = Duration::from_secs(self.interval.into());
        let look = || {
            Box::pin(async move {
                tokio::time::sleep(interval).await;
                daemon.describe().await
            })
        };
        // Kept while keys come, so that neither holds up the other.
        let mut next = look();
        let mut state = State::new(daemon.name.clone());
        state.add(Ok(network));
        loop {
            screen.draw(&state.view(context.has_color()))?;
            tokio::select! {
                answer = &mut next => {
                    state.add(answer);
                    next = look();
                }
                key = keys.recv() => match key {
                    Some(Key::Quit) | None => return Ok(()),
                    Some(Key::Redraw) => {}
                    Some(Key::Select(by)) => state.select(by),
                },
            }
        }
    }
}

/// What is known, and what of it is in sight.
struct State {
    /// With the last description, also of a daemon that is gone.
    row: Row,
    problems: Vec<String>,
    history: History,
    selected: usize,
}

impl State {
    fn new(name: Instance) -> Self {
        let row = Row { name, presence: Presence::default(), answer: None };
        Self { row, problems: Vec::new(), history: History::default(), selected: 0 }
    }

    /// Takes what the daemon answered. If it did not, what was known stays in sight below the reason.
    fn add(&mut self, answer: Result<Network, Error>) {
        match answer {
            Ok(network) => {
                self.history.add(&network);
                self.row.answer = Some(Ok(network));
                self.problems = self.row.problems();
                self.select(0);
            }
            Err(error) => self.problems = vec![format!("{error}; what is below was before")],
        }
    }

    fn network(&self) -> Option<&Network> {
        self.row.answer.as_ref()?.as_ref().ok()
    }

    fn select(&mut self, by: isize) {
        let last = self.network().map_or(0, |network| network.peers.len().saturating_sub(1));
        self.selected = self.selected.saturating_add_signed(by).min(last);
    }

    fn view(&self, color: bool) -> View<'_> {
        View {
            name: self.row.name.as_str(),
            network: self.network(),
            problems: &self.problems,
            history: &self.history,
            selected: self.selected,
            color,
        }
    }
}

/// The terminal, which is given back when this is dropped. A panic gives it back too, before it is told.
struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    fn take() -> Result<Self, Error> {
        let terminal = ratatui::try_init();
        let failed = |error| Error::failure("cannot take the terminal").because(error);
        Ok(Self { terminal: terminal.map_err(failed)? })
    }

    fn draw(&mut self, view: &View<'_>) -> Result<(), Error> {
        self.terminal.draw(|frame| view.draw(frame))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Quit,
    Redraw,
    Select(isize),
}

impl Key {
    fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Resize(..) => Some(Self::Redraw),
            Event::Key(key) if key.kind != KeyEventKind::Release => match key.code {
                KeyCode::Char('q') | KeyCode::Esc => Some(Self::Quit),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Self::Quit),
                KeyCode::Up | KeyCode::Char('k') => Some(Self::Select(-1)),
                KeyCode::Down | KeyCode::Char('j') => Some(Self::Select(1)),
                KeyCode::PageUp => Some(Self::Select(-10)),
                KeyCode::PageDown => Some(Self::Select(10)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Reads keys on a thread of its own, for reading blocks; it ends with the process, or with the terminal.
fn keys() -> mpsc::Receiver<Key> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if let Some(key) = Key::of(&event)
                && sender.blocking_send(key).is_err()
            {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::pty::Terminal;
    use crate::render::network::tests::example;

    #[test]
    fn a_daemon_that_goes_leaves_what_was_known_in_sight() {
        let mut state = State::new(Instance::new("mesh0").unwrap());
        state.add(Ok(example()));
        assert_eq!(state.problems, [""; 0]);
        state.add(Err(Error::new(Exit::NotRunning, "mesh0 does not run")));
        assert_eq!(state.problems, ["mesh0 does not run; what is below was before"]);
        assert!(state.network().is_some());
        state.add(Ok(example()));
        assert_eq!(state.problems, [""; 0]);
    }

    #[test]
    fn one_peer_is_always_selected() {
        let mut state = State::new(Instance::new("mesh0").unwrap());
        state.select(1);
        assert_eq!(state.selected, 0);
        state.add(Ok(example()));
        state.select(10);
        assert_eq!(state.selected, 1);
        let mut network = example();
        network.peers.truncate(1);
        state.add(Ok(network));
        assert_eq!(state.selected, 0);
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_told() {
        const ITSELF: &str = "command::top::tests::a_panic_gives_the_terminal_back_before_it_is_told";
        const ON_THE_TERMINAL: &str = "MESHCTL_TEST_PANICS";
        if std::env::var_os(ON_THE_TERMINAL).is_some() {
            let _screen = Screen::take().unwrap();
            panic!("as it may happen");
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", ITSELF, "--nocapture"]).env(ON_THE_TERMINAL, "1");
        let mut terminal = Terminal::run(&command, 80, 24);
        terminal.until("\x1b[?1049h");
        let (code, last) = terminal.end();
        assert_eq!(code, Some(101), "{last}");
        let (left, told) = (last.find("\x1b[?1049l"), last.find("as it may happen"));
        assert!(left.is_some() && left < told, "{last:?}");
        assert!(!terminal.is_raw());
    }

    #[test]
    fn keys_mean_what_they_mean_elsewhere() {
        let key = |code| Key::of(&Event::Key(code));
        assert_eq!(key(KeyCode::Char('q').into()), Some(Key::Quit));
        assert_eq!(key(event::KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Key::Quit));
        assert_eq!(key(KeyCode::Char('c').into()), None);
        assert_eq!(key(KeyCode::Down.into()), Some(Key::Select(1)));
        assert_eq!(Key::of(&Event::Resize(1, 1)), Some(Key::Redraw));
    }
}
