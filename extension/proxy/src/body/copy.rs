//! A copy of a request's body, made while it passes: whole, or not at all.

use bytes::{Bytes, BytesMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// The side that sees the body.
#[derive(Debug)]
pub(crate) struct Copying {
    kept: Arc<Mutex<Kept>>,
    /// Tells that the end has come; dropped before, that there is no copy.
    end: Option<oneshot::Sender<()>>,
}

/// The side that waits for the copy.
#[derive(Debug)]
pub(crate) struct Copied {
    kept: Arc<Mutex<Kept>>,
    end: oneshot::Receiver<()>,
}

/// None once it is known that there will be no copy: nothing is kept from then on.
#[derive(Debug)]
struct Kept {
    bytes: Option<BytesMut>,
    limit: usize,
}

impl Copying {
    /// A copy of at most so many bytes; a body that has more has none.
    pub(super) fn new(limit: usize) -> (Self, Copied) {
        let kept = Arc::new(Mutex::new(Kept { bytes: Some(BytesMut::new()), limit }));
        let (end, ended) = oneshot::channel();
        (Self { kept: kept.clone(), end: Some(end) }, Copied { kept, end: ended })
    }

    pub(super) fn add(&mut self, data: &Bytes) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = kept.limit;
        match &mut kept.bytes {
            // Copied: a piece of the reader's buffer would keep the whole of it.
            Some(bytes) if bytes.len() + data.len() <= limit => bytes.extend_from_slice(data),
            _ => {
                kept.bytes = None;
                self.end = None;
            }
        }
    }

    pub(super) fn finish(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
    }
}

impl Copied {
    /// The whole body; none when it has more bytes than are copied, or has not come within `patience`.
    pub(crate) async fn whole(self, patience: Duration) -> Option<Bytes> {
        let ended = matches!(tokio::time::timeout(patience, self.end).await, Ok(Ok(())));
        let bytes = self.kept.lock().unwrap_or_else(PoisonError::into_inner).bytes.take();
        bytes.filter(|_| ended).map(BytesMut::freeze)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_copy_is_whole_or_there_is_none() {
        let add = |copy: &mut Copying, text: &'static str| copy.add(&Bytes::from_static(text.as_bytes()));
        let (mut copy, copied) = Copying::new(5);
        add(&mut copy, "abc");
        add(&mut copy, "de");
        copy.finish();
        assert_eq!(copied.whole(SECOND).await.as_deref(), Some(&b"abcde"[..]));

        let (mut copy, copied) = Copying::new(5);
        add(&mut copy, "abc");
        add(&mut copy, "def");
        copy.finish();
        assert_eq!(copied.whole(SECOND).await, None, "too long");

        let (mut copy, copied) = Copying::new(5);
        add(&mut copy, "abc");
        drop(copy);
        assert_eq!(copied.whole(SECOND).await, None, "broken off");

        let (mut copy, copied) = Copying::new(5);
        add(&mut copy, "abc");
        let kept = copied.kept.clone();
        assert_eq!(copied.whole(SECOND).await, None, "not in time");
        add(&mut copy, "d");
        assert!(kept.lock().unwrap().bytes.is_none(), "nothing is kept for nobody");
        copy.finish();
    }
}
