//! What programs that were killed, and damaged windows, leave behind: keys.

use std::{
    fs,
    path::{Path, PathBuf},
};

use time::OffsetDateTime;

use super::{
    Windows,
    files::{Content, is_key, is_unfinished, is_window},
};

impl Windows {
    /// Deletes what programs that were killed have left, and keys of windows that were damaged: at once, because a person wants
    /// none of it any more.
    pub fn sweep_now(&self) {
        self.sweep(|_| true);
    }

    /// The same of keys that are old enough, by the time when they were written (Unix seconds): whoever has a damaged window
    /// might mend it before its end. Where another program writes, this is left to the next call.
    pub(super) fn sweep(&self, is_old: impl Fn(i64) -> bool) {
        let (Some(_locked), Ok(entries)) = (self.try_lock(), fs::read_dir(&self.dir)) else {
            return;
        };
        let paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        let windows = paths.iter().filter(|path| is_window(path));
        // One that cannot be judged may need its key.
        let keys: Option<Vec<_>> = windows
            .map(|path| match self.content(path) {
                Ok(Content::Window(window)) => Some(self.key_path(&window)),
                Ok(Content::OfAnotherVersion | Content::Damaged) | Err(_) => None,
            })
            .collect();
        let is_left = |path: &PathBuf| {
            let keys = keys.as_ref().filter(|_| is_key(path));
            keys.is_some_and(|keys| !keys.contains(path)) && written(path).is_some_and(&is_old)
        };
        for path in paths.iter().filter(|path| is_unfinished(path) || is_left(path)) {
            match fs::remove_file(path) {
                Ok(()) => tracing::info!(path = %path.display(), "removed what a program has left"),
                Err(error) => tracing::info!(%error, path = %path.display(), "what a program has left stays"),
            }
        }
    }
}

fn written(path: &Path) -> Option<i64> {
    let written = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    Some(OffsetDateTime::from(written.ok()?).unix_timestamp())
}
