//! What was received and not looked at yet (DH-604): a queue in front of a shell that keeps the newest. Owns
//! its bounds; refuses to know what a datagram means.
//!
//! While the shell keeps up nothing is copied: a batch that is not full is passed on as it came. Only behind a
//! full one is the kernel's buffer emptied into the queue, and only there is the oldest dropped: whoever sent it
//! has asked again by then. What a shell has begun to decide is not in here any more.

use std::collections::VecDeque;
use std::io;

use tokio_util::sync::CancellationToken;

use super::batch::{BATCH, Datagram, Inbox};
use super::{NetError, Udp};

/// Datagrams that wait, and their octets (reliability reference, section 4).
const WAITING: usize = 4_096;
const OCTETS: usize = 4 << 20;
/// Batches that are taken from the kernel before the next one is looked at.
const READS: usize = 8;

/// Passes on what comes to the socket of an interface, in order, until `cancel` or until the socket fails; `true`
/// with a datagram: the queue is more than half full. No datagram is longer than `longest` octets. `lost` hears how
/// many were dropped.
pub async fn serve(
    socket: &Udp,
    interface: &str,
    longest: usize,
    cancel: &CancellationToken,
    pass: impl FnMut(&Datagram<'_>, bool),
    lost: impl FnMut(usize),
) -> Result<(), NetError> {
    let mut inbox = Inbox::new(BATCH, longest);
    match cancel.run_until_cancelled(Backlog::default().serve(socket, &mut inbox, pass, lost)).await {
        Some(error) => Err(NetError::receiving(interface)(error)),
        None => Ok(()),
    }
}

/// The queue of one socket.
#[derive(Default)]
struct Backlog {
    waiting: VecDeque<Waiting>,
    octets: usize,
}

struct Waiting {
    bytes: Box<[u8]>,
    about: About,
}

/// A datagram without its octets.
type About = Datagram<'static>;

impl Backlog {
    /// As [`serve`], until the socket fails. May be dropped at any await.
    async fn serve(
        &mut self,
        socket: &Udp,
        inbox: &mut Inbox,
        mut pass: impl FnMut(&Datagram<'_>, bool),
        mut lost: impl FnMut(usize),
    ) -> io::Error {
        loop {
            let received = socket.receive(inbox).await;
            let full = match received {
                Ok(count) => count >= BATCH,
                Err(error) => return error,
            };
            if !full {
                inbox.iter().for_each(|datagram| pass(&datagram, false));
                continue;
            }
            let mut dropped = self.take(inbox);
            while !self.waiting.is_empty() {
                for _ in 0..READS {
                    match socket.receive_now(inbox) {
                        Ok(0) => break,
                        Ok(_) => dropped += self.take(inbox),
                        Err(error) => return error,
                    }
                }
                if dropped > 0 {
                    lost(std::mem::take(&mut dropped));
                }
                for _ in 0..BATCH {
                    let pressed = self.is_pressed();
                    let Some(next) = self.next() else { break };
                    pass(&Datagram { bytes: &next.bytes, ..next.about }, pressed);
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// More than half of the room is taken.
    fn is_pressed(&self) -> bool {
        self.waiting.len() > WAITING / 2 || self.octets > OCTETS / 2
    }

    fn next(&mut self) -> Option<Waiting> {
        let next = self.waiting.pop_front()?;
        self.octets -= next.bytes.len();
        Some(next)
    }

    /// Takes a batch in, dropping the oldest beyond the bounds; how many those were.
    fn take(&mut self, inbox: &Inbox) -> usize {
        for datagram in inbox.iter() {
            self.octets += datagram.bytes.len();
            self.waiting
                .push_back(Waiting { bytes: datagram.bytes.into(), about: Datagram { bytes: &[], ..datagram } });
        }
        let mut dropped = 0;
        while self.waiting.len() > WAITING || self.octets > OCTETS {
            dropped += usize::from(self.next().is_some());
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn pair() -> (Udp, Udp, std::net::SocketAddr) {
        let [a, b] = [0, 1].map(|_| Udp::bind("127.0.0.1:0".parse().unwrap(), 1 << 20).unwrap());
        let to = b.local_addr().unwrap();
        (a, b, to)
    }

    /// Sends numbers, at most a batch, and takes them in.
    async fn carry(a: &Udp, b: &Udp, inbox: &mut Inbox, numbers: std::ops::Range<u32>, backlog: &mut Backlog) -> usize {
        let mut out = super::super::Outbox::new();
        let to = b.local_addr().unwrap();
        numbers.clone().for_each(|n| out.push(to, None, 0, &n.to_be_bytes()));
        assert_eq!(a.send(&mut out).await.failed, 0);
        let (mut dropped, mut seen) = (0, 0);
        while seen < numbers.len() {
            let wait = tokio::time::timeout(Duration::from_secs(20), b.receive(inbox));
            seen += wait.await.expect("in time").expect("received");
            dropped += backlog.take(inbox);
        }
        dropped
    }

    /// DH-604: "When full, drop the oldest undecided datagrams".
    #[tokio::test]
    async fn the_oldest_is_dropped_when_it_is_full() {
        let (a, b, _) = pair().await;
        let (mut inbox, mut backlog) = (Inbox::new(BATCH, 64), Backlog::default());
        let (mut dropped, total) = (0, WAITING as u32 + 640);
        for first in (0..total).step_by(64) {
            dropped += carry(&a, &b, &mut inbox, first..first + 64, &mut backlog).await;
            assert_eq!(backlog.is_pressed(), first + 64 > WAITING as u32 / 2);
        }
        assert_eq!((dropped, backlog.waiting.len()), (640, WAITING));
        let left: Vec<u32> = std::iter::from_fn(|| backlog.next())
            .map(|one| u32::from_be_bytes(one.bytes.as_ref().try_into().unwrap()))
            .collect();
        assert_eq!(left, (640..total).collect::<Vec<_>>());
        assert_eq!(backlog.octets, 0);
    }

    /// All of what the kernel held is passed on, in order, however many batches it fills.
    #[tokio::test]
    async fn what_comes_in_full_batches_is_passed_on_in_order() {
        let (a, b, to) = pair().await;
        let mut out = super::super::Outbox::new();
        (0..200u32).for_each(|n| out.push(to, None, 0, &n.to_be_bytes()));
        assert_eq!(a.send(&mut out).await.failed, 0);
        let (mut inbox, mut backlog, mut seen) = (Inbox::new(BATCH, 64), Backlog::default(), Vec::new());
        let (done, mut finished) = tokio::sync::mpsc::channel(1);
        let pass = |datagram: &Datagram<'_>, pressed: bool| {
            assert!(!pressed && datagram.source.port() == a.local_addr().unwrap().port());
            seen.push(u32::from_be_bytes(datagram.bytes.try_into().unwrap()));
            if seen.len() == 200 {
                done.try_send(()).unwrap();
            }
        };
        let serving = backlog.serve(&b, &mut inbox, pass, |_| panic!("nothing is lost"));
        tokio::select! {
            error = serving => panic!("{error}"),
            finished = finished.recv() => finished.expect("all of them"),
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("not in time"),
        }
        assert_eq!(seen, (0..200).collect::<Vec<_>>());
    }
}
