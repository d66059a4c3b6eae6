//! Threads that serve connections, each with an event loop of its own.
//!
//! What is on a thread stays there: a client's connection, and the connections to pods that its requests go over. So no request
//! wakes another thread, which would cost more than all that is done to it.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

thread_local! {
    /// Which of the threads this is.
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// The threads; they end with the last clone. By default there are none: connections are served where they are accepted.
#[derive(Debug, Clone, Default)]
pub struct Workers(Arc<[Worker]>);

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Connections of clients that it serves.
    connections: AtomicUsize,
    /// The thread ends when it is dropped.
    _end: oneshot::Sender<()>,
}

/// One connection's place, free again when it is dropped.
struct Place {
    workers: Workers,
    index: usize,
}

impl Workers {
    /// Starts so many threads, at least one.
    ///
    /// # Errors
    /// A thread or its event loop cannot be made.
    pub fn start(count: usize) -> io::Result<Self> {
        (0..count.max(1)).map(Worker::start).collect::<io::Result<Arc<[_]>>>().map(Self)
    }

    /// Serves a connection on the thread that has the fewest.
    ///
    /// # Errors
    /// The connection cannot be moved.
    pub(crate) fn serve<F>(
        &self,
        stream: TcpStream,
        tasks: &TaskTracker,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let least =
            self.0.iter().enumerate().min_by_key(|(_, worker)| worker.connections.load(Ordering::Relaxed));
        let Some((index, worker)) = least else {
            tasks.spawn(serve(stream));
            return Ok(());
        };
        let stream = stream.into_std()?;
        worker.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place { workers: self.clone(), index };
        let task = async move {
            let _place = place;
            match TcpStream::from_std(stream) {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::warn!(%error, "a connection cannot be served"),
            }
        };
        tasks.spawn_on(task, &worker.runtime);
        Ok(())
    }

    /// Which of them calls this; 0 when it is none of them.
    pub(crate) fn current() -> usize {
        INDEX.get()
    }
}

impl Worker {
    fn start(index: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            INDEX.set(index);
            runtime.block_on(async {
                let _ = ended.await;
            });
        })?;
        Ok(Self { runtime: handle, connections: AtomicUsize::new(0), _end: end })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(worker) = self.workers.0.get(self.index) {
            worker.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    /// Serves so many connections, which stay open for as long as the streams that are returned, and says where.
    async fn serve(workers: &Workers, tasks: &TaskTracker, count: usize) -> (Vec<TcpStream>, Vec<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, mut served) = mpsc::unbounded_channel();
        let (mut clients, mut by) = (Vec::new(), Vec::new());
        for _ in 0..count {
            clients.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            let stream = listener.accept().await.unwrap().0;
            let sender = sender.clone();
            let until_closed = |stream: TcpStream| async move {
                sender.send(Workers::current()).unwrap();
                let _ = stream.readable().await;
            };
            workers.serve(stream, tasks, until_closed).unwrap();
            by.push(served.recv().await.unwrap());
        }
        (clients, by)
    }

    #[tokio::test]
    async fn connections_are_shared_out_evenly_and_places_are_free_again() {
        let (workers, tasks) = (Workers::start(3).unwrap(), TaskTracker::new());
        tasks.close();
        for _ in 0..2 {
            let (clients, mut by) = serve(&workers, &tasks, 6).await;
            by.sort_unstable();
            assert_eq!(by, [0, 0, 1, 1, 2, 2]);
            drop(clients);
            tasks.wait().await;
        }
    }

    #[tokio::test]
    async fn without_threads_a_connection_is_served_where_it_is_accepted() {
        let tasks = TaskTracker::new();
        let (_clients, by) = serve(&Workers::default(), &tasks, 2).await;
        assert_eq!(by, [0, 0]);
    }
}
