//! The disk seam: files, block devices, and a simulated disk with faults.
