//! An alarm that goes off when it is due, to the microsecond: the runtime's timers count milliseconds from
//! whenever the thread last went to sleep, which shows how long it was busy before.

use std::io;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

/// Waits until `due`; by the runtime's timer if the kernel has none to give (no descriptor left).
pub async fn sleep_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    // a timer set to zero would never go off
    if left.is_zero() {
        return;
    }
    match alarm(left) {
        Ok(alarm) if alarm.readable().await.is_ok() => {}
        _ => tokio::time::sleep_until(due).await,
    }
}

/// Only waited for, never read: to the runtime a timer is a pipe into which one message will come.
fn alarm(left: Duration) -> io::Result<Receiver> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
    timer.set(Expiration::OneShot(TimeSpec::from_duration(left)), TimerSetTimeFlags::empty())?;
    Receiver::from_owned_fd_unchecked(timer.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn goes_off_at_its_time_and_not_before() {
        for micros in [0, 1, 300, 2_700] {
            let due = Instant::now() + Duration::from_micros(micros);
            tokio::time::timeout(Duration::from_secs(60), sleep_until(due)).await.expect("it goes off");
            assert!(Instant::now() >= due, "{micros}");
        }
    }
}
