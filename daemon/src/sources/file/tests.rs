//! Files that grow, are renamed, emptied, replaced and torn.

use std::io::Write as _;
use std::path::Path;

use super::*;

fn source(path: &Path, follow: bool, resume: Option<Cursor>) -> FileSource {
    FileSource::new(FileConfig { path: path.to_owned(), follow }, 1000, resume)
}

/// Reads until the input ends; returns each line with its id, and the last cursor.
async fn read_all(source: &mut FileSource) -> (Vec<(String, String)>, Option<Cursor>) {
    let (mut lines, mut cursor) = (Vec::new(), None);
    loop {
        match source.next().await {
            Event::Lines(some) => {
                for line in some {
                    lines.push((String::from_utf8(line.bytes.to_vec()).unwrap(), line.id.unwrap()));
                    cursor = line.cursor.or(cursor);
                }
            }
            Event::Ended => return (lines, cursor),
            Event::Connected => {}
            Event::Disconnected(Disconnect { detail, .. }) => panic!("{detail}"),
        }
    }
}

#[tokio::test]
async fn it_goes_on_where_the_cursor_says_with_the_same_ids() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text: String = (0..1000).map(|i| format!("{{\"n\":{i}}}\n")).collect();
    std::fs::write(file.path(), &text).unwrap();
    let (lines, end) = read_all(&mut source(file.path(), false, None)).await;
    assert_eq!(lines.len(), 1000);
    let Some(Cursor::File { device, inode, offset, .. }) = end else { panic!("no cursor") };
    assert_eq!(offset, text.len() as u64);

    let at = text.find("{\"n\":400}").unwrap() as u64;
    let resume = Cursor::File { device, inode, offset: at, tail: None };
    let (rest, _) = read_all(&mut source(file.path(), false, Some(resume))).await;
    assert_eq!(rest, lines[400..]);
}

#[tokio::test]
async fn another_file_of_the_same_name_is_read_from_its_beginning() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "{\"n\":1}\n{\"n\":2}\n").unwrap();
    let resume = Cursor::File { device: 0, inode: 0, offset: 8, tail: None };
    let (lines, _) = read_all(&mut source(file.path(), false, Some(resume))).await;
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn a_followed_file_gives_lines_as_they_are_completed_and_survives_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(b"{\"n\":1}\n{\"n\":").unwrap();
    let mut source = source(&path, true, None);
    assert_eq!(source.next().await, Event::Connected);
    let Event::Lines(first) = source.next().await else { panic!("the first line is whole") };
    assert_eq!(&first[0].bytes[..], b"{\"n\":1}");
    file.write_all(b"2}\n").unwrap();
    let Event::Lines(second) = source.next().await else { panic!("the second line is whole now") };
    assert_eq!((&second[0].bytes[..], second.len()), (&b"{\"n\":2}"[..], 1));
    std::fs::rename(&path, dir.path().join("events.1")).unwrap();
    std::fs::write(&path, "{\"n\":3}\n").unwrap();
    assert_eq!(source.next().await, Event::Connected);
    let Event::Lines(third) = source.next().await else { panic!("the new file has a line") };
    assert_eq!(&third[0].bytes[..], b"{\"n\":3}");
}

#[tokio::test]
async fn a_torn_end_is_counted_and_a_missing_file_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "{\"n\":1}\n{\"n\":").unwrap();
    let mut torn = source(file.path(), false, None);
    assert_eq!(read_all(&mut torn).await.0.len(), 1);
    assert_eq!(torn.oddities().torn, 1);
    let mut missing = source(Path::new("/nonexistent/events"), false, None);
    assert!(matches!(missing.next().await, Event::Disconnected(_)));
}

/// The next lines, as texts; a followed file has no end.
async fn next_lines(source: &mut FileSource, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let event = tokio::time::timeout(Duration::from_secs(30), source.next()).await;
        match event.unwrap_or_else(|_| panic!("only {lines:?}")) {
            Event::Lines(some) => {
                lines.extend(some.iter().map(|line| String::from_utf8(line.bytes.to_vec()).unwrap()));
            }
            Event::Connected => {}
            other => panic!("{other:?} after {lines:?}"),
        }
    }
    lines
}

fn numbered(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

fn texts(range: std::ops::Range<u32>) -> Vec<String> {
    numbered(range).lines().map(str::to_owned).collect()
}

/// A folder, a file in it, and the file open for appending.
fn growing(text: &str) -> (tempfile::TempDir, std::path::PathBuf, std::fs::File) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events");
    std::fs::write(&path, text).unwrap();
    let file = std::fs::File::options().append(true).open(&path).unwrap();
    (dir, path, file)
}

#[tokio::test]
async fn a_renamed_file_is_read_to_its_end_before_the_new_one() {
    let (dir, path, mut old) = growing(&numbered(0..2));
    let mut source = source(&path, true, None);
    assert_eq!(next_lines(&mut source, 2).await, texts(0..2));
    // Before the rename, after it, and after the new file is there.
    old.write_all(numbered(2..3).as_bytes()).unwrap();
    std::fs::rename(&path, dir.path().join("events.1")).unwrap();
    old.write_all(numbered(3..4).as_bytes()).unwrap();
    std::fs::write(&path, numbered(10..12)).unwrap();
    old.write_all(numbered(4..5).as_bytes()).unwrap();
    old.write_all(b"{\"n\":").unwrap();
    assert_eq!(next_lines(&mut source, 5).await, [texts(2..5), texts(10..12)].concat());
    assert_eq!(source.oddities().torn, 1, "the end that its writer never wrote");
}

#[tokio::test]
async fn a_file_that_is_renamed_and_not_there_for_a_while_is_waited_for() {
    let (dir, path, mut old) = growing(&numbered(0..1));
    let mut source = source(&path, true, None);
    assert_eq!(next_lines(&mut source, 1).await, texts(0..1));
    std::fs::rename(&path, dir.path().join("events.1")).unwrap();
    old.write_all(numbered(1..2).as_bytes()).unwrap();
    assert_eq!(next_lines(&mut source, 1).await, texts(1..2));
    std::fs::write(&path, numbered(2..3)).unwrap();
    assert_eq!(next_lines(&mut source, 1).await, texts(2..3));
}

#[tokio::test]
async fn an_emptied_file_is_read_from_its_beginning_and_its_lines_get_other_ids() {
    let (_dir, path, mut file) = growing(&numbered(0..9));
    let mut source = source(&path, true, None);
    assert_eq!(source.next().await, Event::Connected);
    let Event::Lines(first) = source.next().await else { panic!("no lines") };
    file.set_len(0).unwrap();
    file.write_all(numbered(11..12).as_bytes()).unwrap();
    let second = loop {
        match source.next().await {
            Event::Lines(lines) => break lines,
            other => assert_eq!(other, Event::Connected),
        }
    };
    assert_eq!((&second[0].bytes[..], second.len()), (&b"{\"n\":11}"[..], 1));
    assert_ne!(first[0].id, second[0].id, "they stand at the same place");
}

/// As `copytruncate` of logrotate does, with a writer that is faster than the look at the file's length.
#[tokio::test]
async fn a_file_that_was_emptied_and_is_longer_again_is_read_from_its_beginning() {
    for more in [9..18, 18..200] {
        let (_dir, path, mut file) = growing(&numbered(0..9));
        let mut source = source(&path, true, None);
        assert_eq!(next_lines(&mut source, 9).await, texts(0..9));
        // The file is as it was at the last look, or longer: its length tells nothing.
        file.set_len(0).unwrap();
        file.write_all(numbered(more.clone()).as_bytes()).unwrap();
        assert_eq!(next_lines(&mut source, more.len()).await, texts(more));
        assert_eq!(source.oddities().torn, 0);
    }
}

/// Reads to the end of the file as it is; the cursor of a run that ends there.
async fn cursor_after(path: &Path, lines: usize) -> Option<Cursor> {
    let (read, cursor) = read_all(&mut source(path, false, None)).await;
    assert_eq!(read.len(), lines);
    cursor
}

#[tokio::test]
async fn what_was_renamed_while_nobody_read_is_read_first() {
    for follow in [false, true] {
        let (dir, path, mut old) = growing(&numbered(0..3));
        let cursor = cursor_after(&path, 3).await;
        old.write_all(numbered(3..5).as_bytes()).unwrap();
        std::fs::rename(&path, dir.path().join("events-20260101")).unwrap();
        std::fs::write(&path, numbered(5..7)).unwrap();
        assert_eq!(next_lines(&mut source(&path, follow, cursor), 4).await, texts(3..7));
    }
}

#[tokio::test]
async fn what_was_emptied_or_replaced_while_nobody_read_is_read_from_its_beginning() {
    // Shorter than the place, just as long, and longer: in the same file.
    for new in [10..12, 5..8, 10..30] {
        let (_dir, path, mut file) = growing(&numbered(0..3));
        let cursor = cursor_after(&path, 3).await;
        file.set_len(0).unwrap();
        file.write_all(numbered(new.clone()).as_bytes()).unwrap();
        assert_eq!(next_lines(&mut source(&path, true, cursor), new.len()).await, texts(new));
    }
    // In another file of the name, when the old one is gone.
    let (_dir, path, _file) = growing(&numbered(0..3));
    let cursor = cursor_after(&path, 3).await;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, numbered(3..9)).unwrap();
    assert_eq!(next_lines(&mut source(&path, true, cursor), 6).await, texts(3..9));
}

#[tokio::test]
async fn a_torn_end_is_read_when_it_is_completed_later_by_this_run_or_the_next() {
    let (_dir, path, mut file) = growing("{\"n\":0}\n{\"n\"");
    let cursor = cursor_after(&path, 1).await;
    let mut next = source(&path, true, cursor);
    assert_eq!(next.next().await, Event::Connected);
    // Nothing whole is there yet.
    assert!(tokio::time::timeout(FOLLOW_EVERY * 3, next.next()).await.is_err());
    file.write_all(b":1}\n").unwrap();
    assert_eq!(next_lines(&mut next, 1).await, texts(1..2));
    assert_eq!(next.oddities().torn, 0);
}

#[tokio::test]
async fn a_cursor_of_an_older_version_and_a_chunk_of_many_pieces_hold() {
    let text = numbered(0..50_000);
    let (_dir, path, _file) = growing(&text);
    let (lines, cursor) = read_all(&mut source(&path, false, None)).await;
    assert_eq!(lines.len(), 50_000);
    assert_eq!(next_cursor(&path, cursor.clone()).await, cursor);
    let json = serde_json::to_string(&cursor.unwrap()).unwrap();
    let old = json[..json.find(",\"tail\"").unwrap()].to_owned() + "}";
    let old: Cursor = serde_json::from_str(&old).unwrap();
    assert_eq!(read_all(&mut source(&path, false, Some(old))).await.0, []);
}

/// Goes on at `cursor`, where there is nothing more, with one line that is then written.
async fn next_cursor(path: &Path, cursor: Option<Cursor>) -> Option<Cursor> {
    let mut source = source(path, false, cursor.clone());
    assert_eq!(source.next().await, Event::Connected);
    let open = source.open.as_ref().unwrap();
    let here = open.cursor(open.read, Some(open.tail.checksum()));
    assert_eq!(source.next().await, Event::Ended, "nothing is read again");
    Some(here)
}
