//! The access log: one JSON line for each request, on standard output.

use super::record::Record;
use prometheus_client::metrics::counter::Counter;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Where records go.
pub trait AccessLog: Send + Sync + 'static {
    /// Takes a record; must not block.
    fn write(&self, record: Record);
}

/// Standard output, written by a thread of its own so that a full pipe holds up no request.
pub struct Stdout(Queue);

/// Records that may wait for the pipe.
const QUEUE: usize = 8192;
/// Bytes of memory that they may take.
const QUEUE_BYTES: usize = 8 << 20;
/// Bytes written at a time, or a little more.
const BUFFER: usize = 32 * 1024;
/// How long a line may wait for others.
const GATHERING: Duration = Duration::from_millis(20);

impl Stdout {
    /// Starts the thread. It ends, everything written, when the log is dropped: join the handle after that.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(dropped: Counter) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (queue, waiting) = Queue::new(dropped);
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || waiting.write_all(|| std::io::stdout().lock()))?;
        Ok((Self(queue), thread))
    }
}

impl AccessLog for Stdout {
    fn write(&self, record: Record) {
        self.0.push(record);
    }
}

/// Records on their way to the thread that writes them.
struct Queue {
    /// Boxed: the channel holds all its slots from the start.
    lines: SyncSender<Box<Record>>,
    bytes: Arc<AtomicUsize>,
    /// Records thrown away because the pipe was full.
    dropped: Counter,
}

/// Its other end.
struct Waiting {
    lines: Receiver<Box<Record>>,
    bytes: Arc<AtomicUsize>,
}

impl Queue {
    fn new(dropped: Counter) -> (Self, Waiting) {
        let (sender, lines) = sync_channel(QUEUE);
        let bytes = Arc::new(AtomicUsize::new(0));
        (Self { lines: sender, bytes: bytes.clone(), dropped }, Waiting { lines, bytes })
    }

    fn push(&self, record: Record) {
        let size = record.size();
        let admitted = self.bytes.fetch_add(size, Ordering::Relaxed) + size <= QUEUE_BYTES;
        if !admitted || self.lines.try_send(Box::new(record)).is_err() {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            self.dropped.inc();
        }
    }
}

impl Waiting {
    /// Writes what has queued up in one go, until there is nobody to queue anything.
    fn write_all<W: Write>(self, out: impl Fn() -> W) {
        let mut buffer = Vec::with_capacity(4096);
        while let Ok(record) = self.lines.recv() {
            self.append(&mut buffer, &record);
            // Meanwhile nobody has to wake this thread, and what has come is written at once.
            std::thread::sleep(GATHERING);
            loop {
                while buffer.len() < BUFFER
                    && let Ok(record) = self.lines.try_recv()
                {
                    self.append(&mut buffer, &record);
                }
                let is_full = buffer.len() >= BUFFER;
                // Nobody reads it any more: nothing to tell, and nobody to tell it to.
                let _ = out().write_all(&buffer);
                buffer.clear();
                if !is_full {
                    break;
                }
            }
        }
    }

    fn append(&self, buffer: &mut Vec<u8>, record: &Record) {
        self.bytes.fetch_sub(record.size(), Ordering::Relaxed);
        if serde_json::to_writer(&mut *buffer, record).is_ok() {
            buffer.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(path: usize) -> Record {
        Record { path: "x".repeat(path), ..Record::new(([192, 0, 2, 7], 1).into()) }
    }

    #[test]
    fn long_lines_that_nobody_reads_are_dropped_before_they_fill_the_memory() {
        let dropped = Counter::default();
        let (queue, waiting) = Queue::new(dropped.clone());
        for _ in 0..QUEUE {
            queue.push(record(64 << 10));
        }
        let kept = QUEUE as u64 - dropped.get();
        assert!((64..=QUEUE_BYTES as u64 >> 16).contains(&kept), "{kept}");
        drop(queue);
        let (bytes, written) = (waiting.bytes.clone(), std::sync::Mutex::new(Vec::new()));
        struct Kept<'a>(&'a std::sync::Mutex<Vec<u8>>);
        impl Write for Kept<'_> {
            fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(line)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        waiting.write_all(|| Kept(&written));
        let lines = written.lock().unwrap().iter().filter(|byte| **byte == b'\n').count();
        assert_eq!((lines as u64, bytes.load(Ordering::Relaxed)), (kept, 0));
    }
}
