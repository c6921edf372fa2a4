//! What a reader can do with the tables: commands that work as they are printed, in the workspace's folder.

use std::path::Path;

use crate::folder::Folder;

/// Without the features that the demo was built without, so that next to nothing is built for it.
const CONSUMER: &str = "cargo run --release -p spillway-consumer --no-default-features --";

/// Each with what it does. `has_kafka`: the cluster is still up.
pub(super) fn commands(folder: &Folder, has_kafka: bool) -> Vec<(&'static str, String)> {
    let store = for_shell(&folder.store());
    let config = for_shell(&folder.consumer_config());
    let query = format!(
        "from '{}/tables/city_activity/*/*.parquet' order by events desc limit 10",
        folder.store().to_string_lossy().replace('\'', "''")
    );
    let mut commands = vec![
        (
            "the cities of the newest window, as bars",
            format!("{CONSUMER} show city_activity --store {store} --plot events"),
        ),
        ("the happiest hashtags", format!("{CONSUMER} show happiest_hashtags --store {store} --plot")),
        (
            "the mood, window by window",
            format!("{CONSUMER} show sentiment_extremes --store {store} --plot sentiment_mean"),
        ),
        ("SQL; docs/reading.md has more", format!("duckdb -c {}", quoted(&query))),
    ];
    if has_kafka {
        commands.push((
            "count late events again; there are none unless the input was far out of order",
            format!(
                "{CONSUMER} rebuild --config {config} --table city_activity --from 2000-01-01 --to 2100-01-01"
            ),
        ));
        commands.push(("put days that are over together", format!("{CONSUMER} compact --config {config}")));
    }
    commands
}

fn for_shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(is_plain) { text.into_owned() } else { quoted(&text) }
}

/// In quotes for a shell. Double ones are easier on the eye where nothing in the text means something in them.
fn quoted(text: &str) -> String {
    if text.contains(['"', '$', '`', '\\', '!']) {
        format!("'{}'", text.replace('\'', r"'\''"))
    } else {
        format!("\"{text}\"")
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_the_paths_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["plain", "two words", "it's", "a \"b\" $HOME `c` \\ !", "ünd"] {
            let folder = Folder::claim(&dir.path().join(name)).unwrap();
            let commands = commands(&folder, true);
            assert_eq!(commands.len(), 6);
            for (_, command) in commands {
                let (_, arguments) = command.split_once(" -- ").unwrap_or(("", &command));
                let shell =
                    Command::new("sh").args(["-c", &format!("printf '%s\\n' {arguments}")]).output().unwrap();
                let said = String::from_utf8(shell.stdout).unwrap();
                let path = |path: &Path| path.to_str().unwrap().to_owned();
                let sql = path(&folder.store()).replace('\'', "''");
                let is_named = said.lines().any(|word| {
                    word == path(&folder.store())
                        || word == path(&folder.consumer_config())
                        || word.contains(&sql)
                });
                assert!(is_named, "{command}: {said}");
            }
        }
    }
}
