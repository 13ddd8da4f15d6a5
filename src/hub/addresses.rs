//! How many connections each client address has, where that is bounded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// The bits of an IPv6 address that tell one network from another; of the rest a client may have as many as it likes.
const NETWORK_BITS: u32 = 64;

/// The connections of each address. There are never more addresses in it than connections, and none while there is no
/// bound.
#[derive(Debug, Default)]
pub struct AddressTable {
    most: AtomicUsize,
    taken: Mutex<HashMap<AddressGroup, usize>>,
}

/// The first bits of an IPv6 address that a translator has made of an IPv4 one, which is the last 32 bits (RFC 6052).
const TRANSLATED: u128 = 0x0064_ff9b << 96;

/// What counts as one address: of IPv4 the address, also where it has been translated, of IPv6 its /64; and all of whom a
/// proxy tells nothing, apart from the proxy itself and its own programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressGroup {
    /// `None` of a proxy on a Unix socket.
    network: Option<IpAddr>,
    is_behind: bool,
}

/// The place of one connection among those of its address, which is given back when this is dropped.
#[derive(Debug)]
pub struct AddressPlace {
    table: Arc<AddressTable>,
    group: AddressGroup,
}

/// The address has as many connections as it may have, which is so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressFull(pub usize);

impl AddressTable {
    /// How many connections an address may have; 0 lifts the bound. It is told at the start, and holds until the end.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Takes a place for a connection from this address. Nobody without one is counted, nor anybody where there is no
    /// bound.
    ///
    /// # Errors
    /// If the address has as many as it may have.
    pub fn take(
        self: &Arc<Self>,
        address: Option<AddressGroup>,
    ) -> Result<Option<AddressPlace>, AddressFull> {
        let most = self.most.load(Ordering::Relaxed);
        let Some(group) = address.filter(|_| most > 0) else { return Ok(None) };
        let mut taken = self.taken.lock();
        let count = taken.entry(group).or_default();
        if *count >= most {
            return Err(AddressFull(most));
        }
        *count += 1;
        drop(taken);
        Ok(Some(AddressPlace { table: Arc::clone(self), group }))
    }

    /// How many addresses have connections that are counted.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.taken.lock().len()
    }
}

impl AddressGroup {
    /// That of a client at this address.
    pub fn of(address: IpAddr) -> Self {
        let network = match address.to_canonical() {
            IpAddr::V6(address) if address.to_bits() >> 32 == TRANSLATED >> 32 => {
                Ipv4Addr::from_bits(address.to_bits() as u32).into()
            }
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() >> NETWORK_BITS << NETWORK_BITS).into()
            }
            address => address,
        };
        AddressGroup { network: Some(network), is_behind: false }
    }

    /// That of whoever comes by the proxy at this address, which does not tell from where; `None` is one on a Unix socket.
    pub fn behind(proxy: Option<IpAddr>) -> Self {
        AddressGroup { network: proxy.and_then(|proxy| Self::of(proxy).network), is_behind: true }
    }

    /// Whether it is that of whoever comes by some proxy.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut taken = self.table.taken.lock();
        if let Some(count) = taken.get_mut(&self.group) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.group);
                // Many may have come at once.
                if taken.capacity() > 64 && taken.len() < taken.capacity() / 8 {
                    let len = taken.len();
                    taken.shrink_to(2 * len);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(table: &Arc<AddressTable>, address: &str) -> Result<Option<AddressPlace>, AddressFull> {
        table.take(address.parse().ok().map(AddressGroup::of))
    }

    #[test]
    fn each_address_has_its_places_and_gives_them_back() {
        let table = Arc::new(AddressTable::default());
        assert!(take(&table, "192.0.2.1").unwrap().is_none(), "nobody is counted without a bound");
        table.set_most(2);
        let held = ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::ffff:0:0:1"];
        let mut held: Vec<_> = held.iter().map(|address| take(&table, address).unwrap().unwrap()).collect();
        assert_eq!(table.len(), 3);
        for full in ["192.0.2.1", "2001:db8::2"] {
            assert_eq!(take(&table, full).unwrap_err(), AddressFull(2), "{full}");
        }
        assert!(take(&table, "2001:db8:0:1::1").is_ok());
        assert!(take(&table, "no address").unwrap().is_none());
        assert_eq!(table.len(), 3);
        drop(held.remove(0));
        held.push(take(&table, "192.0.2.1").unwrap().unwrap());
        held.clear();
        assert_eq!(table.len(), 0, "nothing is left of those who have gone");
    }

    #[test]
    fn clients_behind_a_translator_count_as_the_addresses_that_they_have() {
        let of = |address: &str| AddressGroup::of(address.parse().unwrap());
        assert_eq!(of("64:ff9b::192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("64:ff9b::192.0.2.1"), of("64:ff9b::192.0.2.2"));
        // What stands beside that prefix is a network like others, and of the prefixes for local use nobody knows how long
        // they are.
        assert_eq!(of("64:ff9b:0:0:1::1"), of("64:ff9b::1:0:0:2"));
        assert_eq!(of("64:ff9b:1::192.0.2.1"), of("64:ff9b:1::192.0.2.2"));
    }

    #[test]
    fn many_addresses_leave_no_room_behind() {
        let table = Arc::new(AddressTable::default());
        table.set_most(1);
        let held: Vec<_> = (0..10_000_u32)
            .map(|n| table.take(Some(AddressGroup::of(IpAddr::V4(n.into())))).unwrap())
            .collect();
        assert_eq!(table.len(), 10_000);
        drop(held);
        assert!(table.taken.lock().capacity() <= 128);
    }
}
