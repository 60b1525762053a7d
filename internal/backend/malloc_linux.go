package backend

/*
#include <limits.h>
#include <malloc.h>

// Keep freed memory in the process. XLA on the CPU allocates its temporary buffers of tens of
// megabytes with malloc in each call. By default glibc maps and unmaps such blocks one by one, so
// that the kernel clears every page again in the next call.
static void keep_freed_memory(void) {
#ifdef __GLIBC__
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
	mallopt(M_TOP_PAD, 64 << 20);
#endif
}
*/
import "C"

// keepFreedMemory tells the C library not to return large blocks to the system. With a ResNet-18 of
// width 16, chunks of 32 images and 2 cores, this gave 20% more images/s and a third of the time in
// the kernel.
func keepFreedMemory() { C.keep_freed_memory() }
