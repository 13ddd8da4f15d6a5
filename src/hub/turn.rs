//! What a thread does at one go before everybody else on it gets their turn.
//!
//! A task that wakes itself is put into the run queue again, and while that queue is not empty the runtime looks at its
//! sockets and timers only once in dozens of polls: pieces of one long work would come one right after the other. So
//! whoever has more to do asks for a turn by [`come_again`], and what has been read or has become due meanwhile comes
//! first.

use std::pin::pin;
use std::task::Context;

/// Asks for another turn of the task that is being polled, after the runtime has looked at its sockets and timers and has
/// polled what they have woken.
pub(crate) fn come_again(context: &mut Context<'_>) {
    // Its first poll hands the waker to the runtime for the time after that look, and there is no second.
    let _ = pin!(tokio::task::yield_now()).poll(context);
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::rc::Rc;
    use std::task::Poll;

    use super::*;

    /// Turns that a task with work without end has between a byte's being sent and its being read by another task.
    fn turns_until_a_byte_is_read(again: fn(&mut Context<'_>)) -> u32 {
        actix_web::rt::System::new().block_on(async move {
            let (mut near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            far.set_nonblocking(true).unwrap();
            let far = tokio::net::UnixStream::from_std(far).unwrap();
            let read = Rc::new(Cell::new(false));
            let is_read = Rc::clone(&read);
            let reader = actix_web::rt::spawn(async move {
                far.readable().await.unwrap();
                far.into_std().unwrap().read_exact(&mut [0]).unwrap();
                read.set(true);
            });
            let mut turns = 0;
            let worker = actix_web::rt::spawn(poll_fn(move |context| {
                turns += 1;
                if turns == 10 {
                    near.write_all(b"x").unwrap();
                }
                if is_read.get() {
                    return Poll::Ready(turns - 10);
                }
                again(context);
                Poll::Pending
            }));
            reader.await.unwrap();
            worker.await.unwrap()
        })
    }

    #[test]
    fn what_the_sockets_have_comes_before_the_next_turn() {
        assert_eq!(turns_until_a_byte_is_read(come_again), 1);
        let others = turns_until_a_byte_is_read(|context| context.waker().wake_by_ref());
        assert!(others > 1, "this is what it is for");
    }
}
