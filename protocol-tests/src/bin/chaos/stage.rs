//! What all who take part share: the nodes as they are now, who is where, and when all was well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use heliostat_protocol_tests::nodes::NODE_APPS;
use heliostat_protocol_tests::{Engine, Forwarder, Node, Setup, Shared, Sink, Target};

use crate::record::{Calm, Publication, Trouble};

/// Where everybody is a member.
pub(crate) const HALL: &str = "presence-hall";

/// Where events are published.
pub(crate) const ROOMS: usize = 6;

/// Channels that keep their last events.
pub(crate) const KEPT: usize = 2;

/// The name of such a channel.
pub(crate) fn kept(number: usize) -> String {
    format!("kept-{number}")
}

/// A node may come to have so much memory, whatever is done to it.
const MEMORY_BYTES: u64 = 400 << 20;

/// Where a node is, and what is known of it.
pub(crate) struct Slot {
    pub(crate) node: Mutex<Option<Node>>,
    pub(crate) setup: Setup,
    pub(crate) forwarder: Option<Forwarder>,
    port: AtomicU16,
    /// Counts the processes that were started here.
    pub(crate) process: AtomicUsize,
    /// Whether clients should go there.
    pub(crate) open: AtomicBool,
}

/// A user, and the node on which it is a member, if it is one.
type Place = (String, Option<usize>);

/// What all share.
pub(crate) struct Stage {
    pub(crate) slots: [Slot; 3],
    /// Whether those who come and go should stay as they are.
    pub(crate) hold: AtomicBool,
    pub(crate) over: AtomicBool,
    /// Of each client: its user, and its node if it is a member. None while it is about to change that.
    pub(crate) places: Mutex<BTreeMap<usize, Option<Place>>>,
    /// When all was well, and nothing was done to anybody.
    pub(crate) calm: Mutex<Vec<Calm>>,
    pub(crate) troubles: Mutex<Vec<Trouble>>,
    /// Who was there when this fence was published.
    pub(crate) truths: Mutex<Vec<(usize, BTreeSet<String>)>>,
    /// The last fence that each client has heard through every node, in the hall and each of its rooms.
    pub(crate) reached: Mutex<BTreeMap<usize, usize>>,
    /// The fences in the rooms.
    pub(crate) fences: Mutex<Vec<Publication>>,
}

impl Stage {
    pub(crate) fn open(engine: &Engine, sink: &Sink) -> Stage {
        let hooks = format!(
            "[[apps.channels]]\npattern = \"kept-*\"\nhistory = {{ events = 10_000, bytes = 16_777_216 }}\n\
             [apps.webhook_delivery]\nremoval_delay_seconds = 1.0\n[[apps.webhooks]]\nurl = \"{}\"\n\n\
             [[apps]]\nid = \"1007\"",
            sink.url()
        );
        let apps = NODE_APPS.replacen("\n[[apps]]\nid = \"1007\"", &hooks, 1);
        let setup = Setup::on(engine).apps(&apps);
        let slots = std::array::from_fn(|n| {
            let forwarder = match engine {
                Engine::Standalone(server) => Some(Forwarder::start(server.port())),
                _ => None,
            };
            let setup =
                forwarder.as_ref().map_or_else(|| setup.clone(), |forwarder| setup.reaching(forwarder));
            let slot = Slot {
                node: Mutex::new(Some(setup.begin(&Setup::name(n)))),
                setup,
                forwarder,
                port: AtomicU16::new(0),
                process: AtomicUsize::new(0),
                open: AtomicBool::new(false),
            };
            slot.take_port();
            slot
        });
        for slot in &slots {
            lock(&slot.node).as_ref().expect("it was started").await_ready();
            slot.open.store(true, Ordering::SeqCst);
        }
        Stage {
            slots,
            hold: AtomicBool::new(false),
            over: AtomicBool::new(false),
            places: Mutex::default(),
            calm: Mutex::default(),
            troubles: Mutex::default(),
            truths: Mutex::default(),
            reached: Mutex::default(),
            fences: Mutex::default(),
        }
    }

    /// A node that clients should go to, by chance.
    pub(crate) fn somewhere(&self, chance: &mut Chance) -> Option<usize> {
        let open: Vec<usize> = (0..3).filter(|n| self.slots[*n].open.load(Ordering::SeqCst)).collect();
        (!open.is_empty()).then(|| open[chance.below(open.len())])
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub(crate) fn memory_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for slot in &self.slots {
            let node = lock(&slot.node);
            let Some(node) = node.as_ref() else { continue };
            let Some(memory) = node.broker().resident_bytes() else {
                faults.push(format!("N15: node {} has ended: {}", node.name, node.broker().log()));
                continue;
            };
            println!("  node {}: {} MB at most", node.name, memory.peak >> 20);
            if memory.peak > MEMORY_BYTES {
                faults.push(format!("N15: node {} has taken {} MB", node.name, memory.peak >> 20));
            }
        }
        faults
    }
}

impl Slot {
    /// The node as clients see it, who do not hold on to its process.
    pub(crate) fn target(&self) -> Target {
        Target::reached_at("127.0.0.1", self.port.load(Ordering::SeqCst), Shared::Main.credentials())
    }

    /// Starts another process in place of the last, and waits until it is ready.
    pub(crate) fn restart(&self) {
        let name = lock(&self.node).take().map(|node| node.name.clone()).expect("there was one");
        let node = self.setup.begin(&name);
        node.await_ready();
        *lock(&self.node) = Some(node);
        self.process.fetch_add(1, Ordering::SeqCst);
        self.take_port();
    }

    fn take_port(&self) {
        let port = lock(&self.node).as_ref().map_or(0, |node| node.target.port);
        self.port.store(port, Ordering::SeqCst);
    }
}

/// Numbers that follow from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or_default()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
