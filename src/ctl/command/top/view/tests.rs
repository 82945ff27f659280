use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::render::network::tests::{example, example_with_paths};

fn view<'v>(network: Option<&'v Network>, problems: &'v [String], history: &'v History) -> View<'v> {
    View { name: "mesh0", network, problems, history, selected: 0, color: true }
}

fn screen(view: &View<'_>, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(row).collect()
}

fn shown(network: &Network, width: u16, height: u16) -> Vec<String> {
    screen(&view(Some(network), &[], &History::default()), width, height)
}

/// As the example, but of this many peers, each found by UDP and known by radio.
fn crowd(count: usize) -> Network {
    let mut network = example_with_paths();
    let cabin = network.peers[0].clone();
    network.peers = (0..count)
        .map(|number| {
            let mut peer = cabin.clone();
            peer.name = Some(format!("peer{number}"));
            peer
        })
        .collect();
    network
}

#[test]
fn a_network_with_its_links_and_peers() {
    let mut network = example();
    let mut history = History::default();
    history.add(&network);
    for increment in [400, 100, 800] {
        network.peers[0].sent.airtime_ms += increment;
        history.add(&network);
    }
    let problems = ["no link works".to_owned()];
    let expected = [
        "mesh0  running  10.42.0.1/24  for 3 hours                                                                        q quits",
        "no link works",
        "LINK         STATE       RADIO      AIR THIS HOUR        BUSY  QUEUED AIR TAKEN",
        "radio0       up          !d45b9db8  4.2 s of 36 s        13 %       2                                                ▄▁█",
        "PEER          STATE       TIER    PATH              HEARD           RTT  LOSS  RECEIVED      SENT      COST AIR TAKEN",
        "cabin         established radio   radio0 !a1b2c3d4  3 min ago     1.8 s   3 %      84 B   3.4 KiB     5.5 s          ▄▁█",
        "AwMDAwMDAwMD… idle        -       -                 never             -     -       0 B       0 B       0 B",
        "",
        "",
        "",
    ];
    assert_eq!(screen(&view(Some(&network), &problems, &history), 120, 10), expected);
}

#[test]
fn on_80_columns_every_path_has_its_state_why_it_is_used_and_what_it_has_cost() {
    let expected = [
        "mesh0  running  10.42.0.1/24  for 3 hours                                q quits",
        "",
        "LINK         STATE       RADIO      AIR THIS HOUR        BUSY  QUEUED AIR TAKEN",
        "radio0       up          !d45b9db8  4.2 s of 36 s        13 %       2",
        "udp0         up          -          -                       -       0",
        "",
        "PEER         STATE       TIER    PATH                       HEARD           COST",
        "cabin        established direct  udp0 192.0.2.7:51820       3 min ago      4.2 s",
        "  why: its link costs less",
        "  in use     proven      direct  udp0 192.0.2.7:51820       1 s ago        148 B",
        "  also known proven      radio   radio0 !a1b2c3d4           never          4.2 s",
        "AwMDAwMDAwM… idle        -       -                          never            0 B",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
    ];
    assert_eq!(shown(&example_with_paths(), 80, 24), expected);
}

#[test]
fn on_40_columns_every_path_has_what_it_has_cost_and_why_one_is_used() {
    let expected = [
        "mesh0  running  10.42.0.1/24  for 3 hour",
        "LINK      STATE       AIR THIS HOUR",
        "radio0    up          4.2 s of 36 s",
        "udp0      up          -",
        "PEER         PATH                   COST",
        "cabin        udp0 192.0.2.7:5…     4.2 s",
        "  why: its link costs less",
        "  in use     udp0 192.0.2.7:5…     148 B",
        "  proven     radio0 !a1b2c3d4      4.2 s",
        "AwMDAwMDAwM… -                       0 B",
    ];
    assert_eq!(shown(&example_with_paths(), 40, 10), expected);
}

#[test]
fn where_there_is_no_room_for_all_the_ways_to_the_selected_peer_are_shown() {
    let network = crowd(40);
    let history = History::default();
    for (width, height) in [(80, 24), (40, 10), (200, 12)] {
        for selected in [0, 1, 20, 38, 39] {
            let shown = screen(&View { selected, ..view(Some(&network), &[], &history) }, width, height);
            let name = format!("peer{selected} ");
            let at = shown.iter().position(|line| line.starts_with(&name)).unwrap();
            let [why, used, other] = &shown[at + 1..at + 4] else { panic!("{shown:?}") };
            assert_eq!(why, "  why: its link costs less", "{shown:?}");
            assert!(used.starts_with("  in use") && used.contains("148 B"), "{shown:?}");
            assert!(other.contains("radio0 !a1b2c3d4") && other.contains("4.2 s"), "{shown:?}");
            assert_eq!(shown.iter().filter(|line| line.contains("why: ")).count(), 1, "{shown:?}");
            assert!(!shown.last().unwrap().is_empty(), "no line is wasted: {shown:?}");
            let position = format!("peer {} of 40", selected + 1);
            assert_eq!(shown[0].contains(&position), width >= ROOM_FOR_KEYS, "{shown:?}");
        }
    }
}

#[test]
fn a_reason_that_is_long_goes_on_in_the_next_line() {
    let mut network = example_with_paths();
    network.peers[0].path_reason = Some("proven".to_owned());
    let shown = shown(&network, 40, 10);
    let at = shown.iter().position(|line| line.contains("why: ")).unwrap();
    assert_eq!(shown[at..at + 2], ["  why: it answered, and is better in", "  kind"]);
}

#[test]
fn a_path_that_fails_says_so_at_every_width() {
    let mut network = example_with_paths();
    network.peers[0].paths[1].state = "dead".to_owned();
    for (width, height) in [(40, 10), (80, 24), (200, 50)] {
        let shown = shown(&network, width, height);
        let line = shown.iter().find(|line| line.contains("radio0 !a1b2c3d4")).unwrap();
        assert!(line.contains(" dead "), "{line}");
    }
}

#[test]
fn an_address_that_is_long_is_cut_only_where_it_has_to_be() {
    let mut network = example_with_paths();
    let endpoint = "udp://[2001:db8:1:2:3:4:5:6]:51820".to_owned();
    network.peers[0].paths[0].endpoint = endpoint.clone();
    network.peers[0].endpoint = Some(endpoint);
    let wide = shown(&network, 120, 24);
    assert_eq!(wide.iter().filter(|line| line.contains("udp0 [2001:db8:1:2:3:4:5:6]:51820 ")).count(), 2);
    let narrow = shown(&network, 80, 24);
    assert_eq!(narrow.iter().filter(|line| line.contains("udp0 [2001:db8:1:2:3:4:5:… ")).count(), 2);
}

#[test]
fn what_there_is_no_room_for_is_said_to_be_there() {
    let network = example();
    let problems: Vec<String> = (0..9).map(|number| format!("problem {number}")).collect();
    let history = History::default();
    let tall = screen(&view(Some(&network), &problems, &history), 80, 24);
    assert_eq!(tall[1..6], ["problem 0", "problem 1", "problem 2", "6 more: see \"meshctl show\"", ""]);
    let low = screen(&view(Some(&network), &problems, &history), 40, 6);
    assert_eq!(low[1], "9 more: see \"meshctl show\"");
}

#[test]
fn no_terminal_is_too_small() {
    let network = crowd(9);
    let history = History::default();
    let problems: Vec<String> = (0..9).map(|number| format!("problem {number}")).collect();
    for selected in [0, 7, 12] {
        let view = View { selected, ..view(Some(&network), &problems, &history) };
        for (width, height) in [(0, 0), (1, 1), (20, 3), (80, 24), (500, 2), (3, 200)] {
            screen(&view, width, height);
        }
    }
}

#[test]
fn a_network_that_does_not_run_says_so() {
    let problems = ["mesh0 does not run".to_owned()];
    assert_eq!(
        screen(&view(None, &problems, &History::default()), 40, 3),
        ["mesh0", "mesh0 does not run", ""]
    );
}

#[test]
fn a_name_that_would_write_on_the_terminal_does_not() {
    let mut network = example_with_paths();
    network.peers[0].name = Some("\u{1b}[2J".to_owned());
    network.peers[0].paths[0].endpoint = "\u{1b}[31m".to_owned();
    let shown = shown(&network, 80, 24).concat();
    assert!(shown.contains("\u{fffd}[2J") && shown.contains("\u{fffd}[31m"), "{shown}");
}
