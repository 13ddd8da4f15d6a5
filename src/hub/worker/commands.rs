//! What other threads ask of a worker: its mailbox is read and each command carried out, as far as one turn allows.

use std::rc::Rc;
use std::task::{Context, Poll};

use crate::hub::AppIndex;
use crate::hub::client::Client;
use crate::hub::mailbox::{MailboxReader, WorkerCommand};
use crate::hub::rounds::SharedSignal;
use crate::protocol::{Frame, SocketId};

use super::watch::tell_of_viewers;
use super::{ClientKey, HEARERS_PER_TURN, Worker};

/// What a command counts as, besides those who hear it.
const COMMAND: usize = 8;

impl Worker {
    /// Reads the mailbox, as far as one turn allows. Returns whether it is empty.
    pub(super) fn read(&self, mailbox: &mut MailboxReader, context: &mut Context<'_>) -> bool {
        let mut room = HEARERS_PER_TURN;
        while room > 0 {
            let (command, begun) = match mailbox.begun() {
                Some(command) => (command, true),
                None => match mailbox.poll(context) {
                    Poll::Ready(Some(command)) => (command, false),
                    // The hub holds the other end, so the mailbox never ends.
                    Poll::Ready(None) | Poll::Pending => return true,
                },
            };
            let bytes = command.bytes();
            match self.carry_out_command(command, begun, &mut room) {
                None => {
                    if mailbox.done(bytes) {
                        self.hub.tell_relieved(self.index);
                    }
                }
                Some(command) => mailbox.put_back(command),
            }
            room = room.saturating_sub(COMMAND);
        }
        false
    }

    /// Does this with a connection, if it is here.
    pub(super) fn with_client(&self, of: ClientKey, act: impl FnOnce(&Rc<Client>)) {
        if let Some(client) = self.clients.borrow().get(&of) {
            act(client);
        }
    }

    /// Does what a command asks for; gives it back if more is to be done about it in the next turn.
    fn carry_out_command(
        &self,
        command: WorkerCommand,
        begun: bool,
        room: &mut usize,
    ) -> Option<WorkerCommand> {
        match command {
            WorkerCommand::Broadcast { app, ref channel, ref message, except, version } => {
                let version_followed = version.filter(|_| {
                    self.channels.borrow().of(app).is_some_and(|channels| channels.is_followed(channel))
                });
                let more = self.walk((app, channel), begun, room, |subscribers, dirty| {
                    let followed = version_followed.map(|version| (subscribers.clone(), version));
                    let told = self.deliver_to(subscribers, message, except, (channel, version), dirty);
                    if let Some((subscribers, version)) = followed {
                        self.follow(subscribers, except, version);
                    }
                    told
                });
                return more.then_some(command);
            }
            WorkerCommand::Member { app, ref channel, ref frame, version, user_changed } => {
                let more = self.walk((app, channel), begun, room, |subscribers, dirty| {
                    self.tell_of_member(subscribers, frame, version, user_changed, dirty)
                });
                return more.then_some(command);
            }
            WorkerCommand::HistoryGap { app, ref channel, version } => {
                let more = self.walk((app, channel), begun, room, |subscribers, dirty| {
                    self.tell_of_gap(channel, subscribers, version, dirty)
                });
                return more.then_some(command);
            }
            WorkerCommand::Viewers { app, ref channel, ref question } => {
                let more = self.walk((app, channel), begun, room, |subscribers, _| {
                    tell_of_viewers(channel, subscribers, question)
                });
                return more.then_some(command);
            }
            WorkerCommand::Count { app, channel } => self.counts.look_at(app, channel),
            WorkerCommand::ToSocket { app, socket, frame } => {
                self.with_client((app, socket), |client| self.send(client, frame));
            }
            WorkerCommand::ToSockets { app, sockets, next, frame } => {
                let until = self.send_to_some(app, (&*sockets, next), &frame, room);
                let more = until < sockets.len();
                return more.then_some(WorkerCommand::ToSockets { app, sockets, next: until, frame });
            }
            WorkerCommand::Close { app, socket, code, reason } => {
                self.with_client((app, socket), |client| client.signal_close(code, reason));
            }
            WorkerCommand::Describe { app, socket, reply } => {
                self.with_client((app, socket), |client| client.signal_describe(reply));
            }
            WorkerCommand::CloseApp { app, code, reason } => {
                self.begin_round(SharedSignal::Close(code, reason), Some(app), room);
            }
            WorkerCommand::CloseStreams { app, code, reason } => {
                self.begin_round(SharedSignal::CloseStream(code, reason), Some(app), room);
            }
            WorkerCommand::LookAtStreams { app } => {
                self.begin_round(SharedSignal::LookAtStream, Some(app), room);
            }
            WorkerCommand::Injected { app, injection } => self.inject(app, injection, room),
            // The turn that it brings is all that is needed.
            WorkerCommand::Relieved => {}
            WorkerCommand::Totals { reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.totals());
            }
            WorkerCommand::Survey { asked } => self.begin_survey(asked),
            WorkerCommand::Turn { reply } => {
                // There is room for an answer of every worker.
                let _ = reply.try_send(());
            }
            #[cfg(test)]
            WorkerCommand::Panic => panic!("a test would have it so"),
            WorkerCommand::DrainSome { most, code, reason } => {
                self.begin_round_of_some(SharedSignal::Close(code, reason), most);
            }
            WorkerCommand::Drain { code, reason } => {
                self.begin_round(SharedSignal::Close(code, reason), None, room);
            }
        }
        None
    }

    /// Sends a frame to some of several connections, from the `next` one on: as many as there is room for. Returns how far it came.
    fn send_to_some(
        &self,
        app: AppIndex,
        (sockets, next): (&[SocketId], usize),
        frame: &Frame,
        room: &mut usize,
    ) -> usize {
        let until = sockets.len().min(next + *room);
        *room -= until - next;
        for socket in &sockets[next..until] {
            self.with_client((app, *socket), |client| {
                self.queue_in_form(client, frame, &self.dirty.bulk);
            });
        }
        until
    }
}
