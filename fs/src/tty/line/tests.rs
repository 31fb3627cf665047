use super::*;

fn type_in(line: &mut LineDiscipline, bytes: &[u8]) -> Vec<u8> {
    let mut echo = Vec::new();
    for &byte in bytes {
        let _ = line.receive(byte, &mut echo);
    }
    echo
}

#[test]
fn a_line_is_edited_before_it_is_read() {
    let mut line = LineDiscipline::default();
    let echo = type_in(&mut line, b"helo\x7flo");
    assert_eq!(echo, b"helo\x08 \x08lo");
    assert!(!line.is_readable());
    type_in(&mut line, b"\r");
    assert_eq!(line.take(100).bytes, b"hello\n");
    assert!(!line.is_readable());
}

#[test]
fn a_short_read_leaves_the_rest_of_the_line() {
    let mut line = LineDiscipline::default();
    type_in(&mut line, b"one\ntwo\n");
    assert_eq!(line.take(2).bytes, b"on");
    assert_eq!(line.take(100).bytes, b"e\n");
    assert_eq!(line.take(100).bytes, b"two\n");
}

#[test]
fn an_end_mark_ends_a_read_and_is_not_read() {
    let mut line = LineDiscipline::default();
    type_in(&mut line, b"ab\x04\x04");
    assert_eq!(line.take(2).bytes, b"ab");
    assert!(line.is_readable());
    assert_eq!(line.take(100).bytes, b"");
    assert!(!line.is_readable());
}

#[test]
fn what_could_not_be_delivered_comes_back_with_its_end() {
    let mut line = LineDiscipline::default();
    type_in(&mut line, b"ab\x04\x04");
    let taken = line.take(100);
    line.put_back(&taken, 1);
    assert_eq!(line.take(100).bytes, b"b");
    assert_eq!(line.take(100).bytes, b"");
    assert!(!line.is_readable());
}

#[test]
fn interrupt_flushes_and_signals() {
    let mut line = LineDiscipline::default();
    type_in(&mut line, b"half");
    let mut echo = Vec::new();
    assert_eq!(line.receive(3, &mut echo), Some(TypedSignal::Interrupt));
    assert_eq!(echo, b"^C");
    type_in(&mut line, b"x\n");
    assert_eq!(line.take(100).bytes, b"x\n");
}

#[test]
fn raw_input_waits_for_the_minimum() {
    let mut line = LineDiscipline::default();
    let mut raw = line.termios;
    raw.local.remove(Local::ICANON | Local::ECHO);
    raw.characters[Control::Minimum as usize] = 3;
    line.set_termios(raw);
    assert_eq!(line.patience(0), Patience { least: 3, ..Patience::default() });
    type_in(&mut line, b"ab");
    assert!(line.has_input());
    assert!(!line.is_readable());
    type_in(&mut line, b"c");
    assert_eq!(line.take(100).bytes, b"abc");
}

#[test]
fn time_runs_between_bytes_or_from_the_start() {
    let mut line = LineDiscipline::default();
    let mut raw = line.termios;
    raw.local.remove(Local::ICANON);
    raw.characters[Control::Minimum as usize] = 5;
    raw.characters[Control::Time as usize] = 2;
    line.set_termios(raw);
    let limit = Some(Duration::from_millis(200));
    assert_eq!(line.patience(0), Patience { least: 5, ..Patience::default() });
    assert_eq!(line.patience(1), Patience { least: 5, limit, ..Patience::default() });
    raw.characters[Control::Minimum as usize] = 0;
    line.set_termios(raw);
    assert_eq!(line.patience(0), Patience { least: 1, limit, ..Patience::default() });
}

#[test]
fn what_a_call_holds_no_character_releases() {
    let mut line = LineDiscipline::default();
    type_in(&mut line, b"\x13");
    assert!(line.is_held());
    line.hold(false);
    assert!(line.is_held(), "TCOON releases only what TCOOFF held");
    line.hold(true);
    type_in(&mut line, b"\x11\x03");
    assert!(line.is_held());
    line.hold(false);
    assert!(!line.is_held());
}

#[test]
fn a_full_line_can_still_be_finished() {
    let mut line = LineDiscipline::default();
    type_in(&mut line, &[b'a'; QUEUE_BYTES + 50]);
    type_in(&mut line, b"\n");
    let read = line.take(2 * QUEUE_BYTES).bytes;
    assert_eq!(read.len(), LINE_BYTES);
    assert_eq!(read.last(), Some(&NEWLINE));
}

#[test]
fn output_returns_the_carriage_and_expands_tabs() {
    let mut line = LineDiscipline::default();
    let mut tabs = line.termios;
    tabs.output |= Output::XTABS;
    line.set_termios(tabs);
    let mut out = Vec::new();
    for &byte in b"ab\tc\n" {
        line.process_output(byte, &mut out);
    }
    assert_eq!(out, b"ab      c\r\n");
}
