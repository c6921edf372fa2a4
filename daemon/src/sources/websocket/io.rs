//! The byte stream below a WebSocket: TCP or TLS, with a note of how much came and when.
//!
//! What came is read to its end, whatever becomes of what we write: a peer that sends its last messages, closes
//! and does not wait for our answer to its ping makes writing fail while those messages lie unread before us. A
//! service that cannot serve them again would otherwise lose them by our courtesy.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Any stream in both directions.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Io for T {}

impl fmt::Debug for dyn Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Io")
    }
}

/// A stream that notes its bytes. Time is noted here, not where messages are whole: a long message over
/// a slow line is no silence.
///
/// Writing never fails. Why it cannot be done is told by reading, where that would have to wait for more; an end of
/// its own that reading has comes first.
#[derive(Debug)]
pub(crate) struct Metered<S> {
    inner: S,
    bytes: u64,
    last: Instant,
    unwritable: Option<io::Error>,
}

impl<S> Metered<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, bytes: 0, last: Instant::now(), unwritable: None }
    }

    /// Bytes read so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the last byte came; at first when the stream was made.
    pub(crate) fn last(&self) -> Instant {
        self.last
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buf);
        if outcome.is_pending()
            && let Some(error) = self.unwritable.take()
        {
            return Poll::Ready(Err(error));
        }
        ready!(outcome)?;
        let read = buf.filled().len() - before;
        if read > 0 {
            self.bytes += read as u64;
            self.last = Instant::now();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> Metered<S> {
    /// Keeps the reason why writing failed, and goes on as if it had not.
    fn wrote<T>(&mut self, outcome: Poll<io::Result<T>>, instead: T) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(Err(error)) => {
                self.unwritable = Some(error);
                Poll::Ready(Ok(instead))
            }
            outcome => outcome,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.wrote(outcome, buf.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        self.wrote(outcome, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.wrote(outcome, ())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};

    use super::*;

    /// A peer that has closed: it takes nothing, and some bytes of it are still there.
    struct Deaf {
        left: &'static [u8],
    }

    impl AsyncRead for Deaf {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.left.is_empty() {
                return Poll::Pending;
            }
            let (now, later) = self.left.split_at(1);
            buf.put_slice(now);
            self.left = later;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Deaf {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_came_is_read_before_a_failed_answer_ends_the_stream() {
        let mut stream = Metered::new(Deaf { left: b"ab" });
        assert_eq!(stream.write_all(b"pong").now_or_never().unwrap().unwrap(), ());
        let mut both = [0; 2];
        stream.read_exact(&mut both).now_or_never().unwrap().unwrap();
        assert_eq!(&both, b"ab");
        let end = stream.read_u8().now_or_never().unwrap().unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::BrokenPipe);
    }
}
