package backend

/*
#include <limits.h>
#include <malloc.h>

// Keep freed memory in the process. XLA on the CPU takes its temporary buffers, tens of megabytes, from malloc anew in each call; glibc maps
// such blocks one by one and unmaps them, and the kernel then clears every page again in the next call.
static void keep_freed_memory(void) {
#ifdef __GLIBC__
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
	mallopt(M_TOP_PAD, 64 << 20);
#endif
}
*/
import "C"

// keepFreedMemory tells the C library not to give large blocks back to the system. Measured on a
// ResNet-18 of width 16, chunks of 32 images, 2 cores: 20% more images/s, and a third of the time
// in the kernel.
func keepFreedMemory() { C.keep_freed_memory() }
