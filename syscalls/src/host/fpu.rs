//! Floating-point state that is only bytes: nothing computes with it.

use base::{Errno, Result};

use crate::machine::{FPU_IMAGE_BYTES, FpuState};

/// An image that a test can compare.
pub struct HostFpu {
    image: Vec<u8>,
}

impl HostFpu {
    /// The state of a new program.
    #[must_use]
    pub fn new() -> HostFpu {
        HostFpu { image: vec![0; FPU_IMAGE_BYTES] }
    }
}

impl Default for HostFpu {
    fn default() -> HostFpu {
        HostFpu::new()
    }
}

impl FpuState for HostFpu {
    fn image(&self) -> &[u8] {
        &self.image
    }

    fn set_image(&mut self, image: &[u8]) -> Result<()> {
        if image.len() > self.image.len() {
            return Err(Errno::EINVAL);
        }
        self.image.fill(0);
        self.image[..image.len()].copy_from_slice(image);
        Ok(())
    }

    fn reset(&mut self) {
        self.image.fill(0);
    }

    fn as_any(&mut self) -> &mut dyn core::any::Any {
        self
    }
}
