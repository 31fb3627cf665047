//! Files whose text is rendered when it is read.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use base::caller::Caller;
use base::memory::{BoxFuture, UserBuffer};
use base::sync::atomic::{AtomicBool, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::node::{Attributes, Node, PseudoNode};
use crate::file::{FileOps, Io, OpenFile, Whence, seek_without_end};
use crate::vfs::{FileType, Inode, InodeState, Metadata, OpenRequest};

/// Longest text of one file, bytes.
pub const TEXT_MAX: usize = 8 << 20;
/// Longest text that one write may bring.
const WRITE_MAX: usize = 4096;

/// A text that is being rendered. Writing to it fails, as a formatter's error, when it gets too long or there is
/// no memory; the reader then sees `ENOMEM`.
#[derive(Default)]
pub struct Text {
    bytes: Vec<u8>,
    full: bool,
}

impl Text {
    /// Appends bytes that need not be UTF-8: names of programs and files.
    ///
    /// # Errors
    ///
    /// When it is full.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> fmt::Result {
        let fits = self.bytes.len().saturating_add(bytes.len()) <= TEXT_MAX;
        if !fits || self.bytes.try_reserve(bytes.len()).is_err() {
            self.full = true;
            return Err(fmt::Error);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// What has been written so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_bytes(text.as_bytes())
    }
}

/// Writes the text of a file for the caller who reads it.
type Render = Arc<dyn Fn(&Caller, &mut Text) -> Result<()> + Send + Sync>;
/// Says, when the file is opened, what is rendered for the one who opens it.
type Bind = Box<dyn Fn(&Caller) -> Result<Render> + Send + Sync>;
/// Takes what a caller writes to the file, in one piece.
type Store = Box<dyn Fn(&Caller, &[u8]) -> Result<()> + Send + Sync>;

/// What a write waits for before its text is stored.
type Before = fn() -> BoxFuture<'static, Result<()>>;

/// Where the text comes from.
enum Source {
    /// There is none.
    Nothing,
    /// The same for whoever opens.
    Render(Render),
    /// What the opening found.
    Bind(Bind),
}

/// A file that shows a text and may take one.
pub struct PseudoFile {
    node: Node,
    source: Source,
    before: Option<Before>,
    store: Option<Store>,
}

impl PseudoFile {
    /// A file that shows what `render` writes. A formatter's error that is no fault of `render` is best
    /// answered with `Ok`: the frame knows that the text was too long.
    #[must_use]
    pub fn new(
        attributes: Attributes,
        render: impl Fn(&Caller, &mut Text) -> Result<()> + Send + Sync + 'static,
    ) -> Arc<PseudoFile> {
        Self::make(attributes, Source::Render(Arc::new(render)), None)
    }

    /// As [`PseudoFile::new`]; beside the permission bits, `guard` says who may open it.
    #[must_use]
    pub fn guarded(
        attributes: Attributes,
        guard: impl Fn(&Caller) -> Result<()> + Send + Sync + 'static,
        render: impl Fn(&Caller, &mut Text) -> Result<()> + Send + Sync + 'static,
    ) -> Arc<PseudoFile> {
        let render: Render = Arc::new(render);
        let bind = move |caller: &Caller| guard(caller).map(|()| render.clone());
        Self::make(attributes, Source::Bind(Box::new(bind)), None)
    }

    /// A file whose text depends on what `bind` gives when it is opened (a cursor, say) and on nothing else that
    /// may change meanwhile, however often the text is read. Beside the permission bits, `bind` says who may open.
    #[must_use]
    pub fn bound<Q: Send + Sync + 'static>(
        attributes: Attributes,
        bind: impl Fn(&Caller) -> Result<Q> + Send + Sync + 'static,
        render: impl Fn(&Q, &Caller, &mut Text) -> Result<()> + Send + Sync + Copy + 'static,
    ) -> Arc<PseudoFile> {
        let bind = move |caller: &Caller| {
            let found = bind(caller)?;
            let bound: Render =
                Arc::new(move |caller: &Caller, text: &mut Text| render(&found, caller, text));
            Ok(bound)
        };
        Self::make(attributes, Source::Bind(Box::new(bind)), None)
    }

    fn make(attributes: Attributes, source: Source, store: Option<Store>) -> Arc<PseudoFile> {
        Arc::new(PseudoFile { node: Node::new(attributes), source, before: None, store })
    }

    /// As [`PseudoFile::writable`]; each write waits for what `before` gives, and is stored then.
    #[must_use]
    pub fn awaiting(
        attributes: Attributes,
        render: impl Fn(&Caller, &mut Text) -> Result<()> + Send + Sync + 'static,
        before: fn() -> BoxFuture<'static, Result<()>>,
        store: impl Fn(&Caller, &[u8]) -> Result<()> + Send + Sync + 'static,
    ) -> Arc<PseudoFile> {
        let (node, source) = (Node::new(attributes), Source::Render(Arc::new(render)));
        Arc::new(PseudoFile { node, source, before: Some(before), store: Some(Box::new(store)) })
    }

    /// As [`PseudoFile::new`]; what is written goes to `store`, each write as a whole.
    #[must_use]
    pub fn writable(
        attributes: Attributes,
        render: impl Fn(&Caller, &mut Text) -> Result<()> + Send + Sync + 'static,
        store: impl Fn(&Caller, &[u8]) -> Result<()> + Send + Sync + 'static,
    ) -> Arc<PseudoFile> {
        Self::make(attributes, Source::Render(Arc::new(render)), Some(Box::new(store)))
    }

    /// A file that only takes text.
    #[must_use]
    pub fn write_only(
        attributes: Attributes,
        store: impl Fn(&Caller, &[u8]) -> Result<()> + Send + Sync + 'static,
    ) -> Arc<PseudoFile> {
        Self::make(attributes, Source::Nothing, Some(Box::new(store)))
    }

    /// What is rendered for `caller`, who opens the file.
    fn bind(&self, caller: &Caller) -> Result<Option<Render>> {
        match &self.source {
            Source::Nothing => Ok(None),
            Source::Render(render) => Ok(Some(render.clone())),
            Source::Bind(bind) => bind(caller).map(Some),
        }
    }
}

impl PseudoNode for PseudoFile {
    fn node(&self) -> &Node {
        &self.node
    }
}

impl Inode for PseudoFile {
    fn metadata(&self) -> Metadata {
        self.node.metadata(FileType::Regular, 1, 0)
    }

    fn state(&self) -> &InodeState {
        &self.node.state
    }

    fn open(self: Arc<Self>, request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
        self.node.require_live()?;
        self.node.require_mode(request.flags)?;
        let render = self.bind(request.caller)?;
        let text = SpinLock::new(LockClass::File, None);
        Ok(Arc::new(OpenText { file: self, render, text, awaited: AtomicBool::new(false) }))
    }

    fn set_attributes(&self, new: &crate::vfs::Attributes) -> Result<()> {
        self.node.set_attributes(new);
        Ok(())
    }

    /// `echo x > file` opens with `O_TRUNC`: there is nothing to cut.
    fn truncate(&self, _size: u64) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open text.
struct OpenText {
    file: Arc<PseudoFile>,
    render: Option<Render>,
    text: SpinLock<Option<Arc<[u8]>>>,
    /// The write that comes next has waited.
    awaited: AtomicBool,
}

impl OpenText {
    fn render(&self, caller: &Caller) -> Result<Arc<[u8]>> {
        let render = self.render.as_ref().ok_or(Errno::EIO)?;
        self.file.node.require_live()?;
        let mut text = Text::default();
        let result = render(caller, &mut text);
        if text.full {
            return Err(Errno::ENOMEM);
        }
        result?;
        Ok(Arc::from(text.bytes))
    }

    /// The text that this open file reads: a fresh one at position 0.
    fn text(&self, io: &Io<'_>) -> Result<Arc<[u8]>> {
        let rendered = self.text.lock().clone();
        match rendered {
            Some(text) if io.position > 0 => Ok(text),
            _ => {
                // Rendered without the lock: it looks at other people's objects.
                let text = self.render(io.caller)?;
                let old = self.text.lock().replace(text.clone());
                drop(old);
                Ok(text)
            }
        }
    }
}

impl FileOps for OpenText {
    fn read(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let text = self.text(io)?;
        let start = usize::try_from(io.position).unwrap_or(usize::MAX);
        let rest = text.get(start..).unwrap_or_default();
        let wanted = rest.len().min(buffer.remaining());
        let copied = buffer.put(rest)?;
        if copied < wanted { Err(Errno::EFAULT) } else { Ok(copied) }
    }

    fn write(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let store = self.file.store.as_ref().ok_or(Errno::EIO)?;
        if self.file.before.is_some() && !self.awaited.swap(false, Ordering::Relaxed) {
            return Err(Errno::EAGAIN);
        }
        let length = buffer.remaining().min(WRITE_MAX);
        let mut bytes = alloc::vec![0; length];
        let mark = buffer.mark();
        let taken = buffer.take(&mut bytes)?;
        if taken < length {
            buffer.rewind(mark);
            return Err(Errno::EFAULT);
        }
        store(io.caller, &bytes).inspect_err(|_| buffer.rewind(mark))?;
        Ok(length)
    }

    fn load(&self, _io: &Io<'_>) -> Option<BoxFuture<'_, Result<()>>> {
        let before = self.file.before?;
        Some(Box::pin(async move {
            before().await?;
            self.awaited.store(true, Ordering::Relaxed);
            Ok(())
        }))
    }

    fn writes_all(&self) -> bool {
        false
    }

    fn positioned(&self) -> bool {
        true
    }

    fn seek(&self, _file: &OpenFile, current: u64, offset: i64, whence: Whence) -> Result<u64> {
        seek_without_end(current, offset, whence)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
