//! How many connections of a worker may be read before everybody else on it gets their turn.
//!
//! What happens to thousands of connections at once, such as their end, wakes thousands of tasks at once, each of which has
//! little to do. Between them the runtime would not look at its sockets.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Context;

use tokio::sync::Notify;

use super::turn::come_again;

/// Connections that are read before the runtime looks at the sockets again: some milliseconds' worth, if all of them end.
const READS: usize = 128;

/// The reads that are left until then.
#[derive(Debug)]
pub(super) struct Allowance {
    left: Cell<usize>,
    spent: Notify,
}

impl Allowance {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Allowance { left: Cell::new(READS), spent: Notify::new() })
    }

    /// Takes a read. If there is none left, the task that is being polled gets another turn behind everybody else.
    pub(super) fn take(&self, context: &mut Context<'_>) -> bool {
        match self.left.get() {
            0 => {
                come_again(context);
                false
            }
            left => {
                self.left.set(left - 1);
                if left == 1 {
                    self.spent.notify_one();
                }
                true
            }
        }
    }

    /// Renews the allowance each time that it was spent and the runtime has looked at its sockets.
    pub(super) async fn renew(self: Rc<Self>) {
        loop {
            self.spent.notified().await;
            tokio::task::yield_now().await;
            self.left.set(READS);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    /// However many tasks are woken at once, a byte that comes is read before the third allowance is spent.
    #[test]
    fn many_tasks_at_once_do_not_keep_a_socket_waiting() {
        actix_web::rt::System::new().block_on(async {
            let allowance = Allowance::new();
            actix_web::rt::spawn(Rc::clone(&allowance).renew());
            let (mut near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            far.set_nonblocking(true).unwrap();
            let far = tokio::net::UnixStream::from_std(far).unwrap();
            let taken = Rc::new(Cell::new(0));
            let tasks: Vec<_> = (0..5000)
                .map(|_| {
                    let (allowance, taken) = (Rc::clone(&allowance), Rc::clone(&taken));
                    actix_web::rt::spawn(poll_fn(move |context| match allowance.take(context) {
                        true => {
                            taken.set(taken.get() + 1);
                            Poll::Ready(())
                        }
                        false => Poll::Pending,
                    }))
                })
                .collect();
            let so_far = Rc::clone(&taken);
            let reader = actix_web::rt::spawn(async move {
                far.readable().await.unwrap();
                so_far.get()
            });
            std::io::Write::write_all(&mut near, b"x").unwrap();
            let taken_before_the_byte = reader.await.unwrap();
            assert!(taken_before_the_byte <= 2 * READS, "{taken_before_the_byte}");
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(taken.get(), 5000);
        });
    }
}
