//! The task that keeps a directory in `/sys/ipc/objects` for each object of the registry.
//!
//! It is the only one that adds and removes them. Whoever makes or drops an object only queues its number: the
//! directory comes, and goes, a little later. What it shows does not depend on that, since every reading looks the
//! object up.

use alloc::format;
use alloc::sync::Arc;

use executor::TaskOptions;
use ipc::object::feed::{Change, Feed};
use ipc::object::registry;

use super::objects::directory;
use super::{SysFs, self_check};
use crate::pseudo::PseudoDir;
use crate::vfs::DeviceNumber;

/// Starts the task, once.
pub(super) fn start(sys: &'static SysFs) {
    let Some(feed) = Feed::open() else { return };
    executor::spawn(TaskOptions::new("ipcsysfs").daemon(), async move {
        self_check::run(sys.tree.super_block()).await;
        let projection = Projection { objects: sys.objects.clone(), device: sys.tree.device() };
        projection.run(feed).await;
    });
}

/// The directories of objects.
struct Projection {
    objects: Arc<PseudoDir>,
    device: DeviceNumber,
}

impl Projection {
    /// Follows the registry for ever. A drop leaves the directories as they are.
    async fn run(self, mut feed: Feed) {
        loop {
            let seen = feed.observe();
            while let Some(change) = feed.take() {
                match change {
                    Change::Object(id) => self.look_at(id),
                    Change::Everything => self.compare().await,
                }
                executor::yield_point().await;
            }
            feed.wait(seen).await;
        }
    }

    /// Adds or removes the directory of the object `id`, whatever became of that.
    fn look_at(&self, id: u32) {
        let name = format!("{id}");
        let (is_known, is_shown) = (registry::is_known(id), self.objects.has(&name));
        if is_known && !is_shown {
            self.objects.add(&name, directory(&self.objects, self.device, id));
        } else if is_shown && !is_known {
            self.objects.remove(&name);
        }
    }

    /// Looks at every object that has a directory or should have one. Dropped midway, some were not looked at.
    async fn compare(&self) {
        let mut position = 0;
        while let Some((name, next)) = self.objects.name_from(position) {
            position = next;
            if let Ok(Ok(id)) = core::str::from_utf8(&name).map(str::parse) {
                self.look_at(id);
            }
            executor::yield_point().await;
        }
        let mut id = 0;
        while let Some(object) = registry::next(id, None) {
            id = object.base().id();
            drop(object);
            self.look_at(id);
            executor::yield_point().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use crate::vfs::Inode;
    use ipc::port::Port;

    #[test]
    fn an_object_has_a_directory_while_it_lives() {
        let caller = testing::root();
        let device = DeviceNumber::default();
        let objects = PseudoDir::new(crate::pseudo::Attributes::root(device, 0o555), 0);
        let projection = Projection { objects: objects.clone(), device };
        let port = Port::create(&caller).unwrap();
        let id = port.object().base().id();
        let name = format!("{id}");
        assert!(!objects.has(&name), "it comes later");
        testing::now(projection.compare());
        assert!(objects.has(&name));
        projection.look_at(id);
        drop(port);
        // Another test that walks over all objects may have it for a moment longer.
        while registry::is_known(id) {
            std::thread::yield_now();
        }
        assert!(objects.has(&name) && objects.lookup(name.as_bytes()).is_err(), "it is not shown any more");
        testing::now(projection.compare());
        assert!(!objects.has(&name));
        projection.look_at(id);
        assert!(!objects.has(&name));
    }
}
