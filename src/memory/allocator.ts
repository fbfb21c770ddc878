/**
 * Makes the C library's allocator return freed memory to the system. glibc maps large blocks individually and returns
 * each when it is freed. But the first such free raises the threshold, and blocks of that size then stay in heaps, one
 * per thread. After some events of 4 MiB these heaps hold hundreds of megabytes of free memory. Fixed thresholds
 * prevent that.
 */

/** M_TRIM_THRESHOLD of <malloc.h>: a heap returns the free memory at its end to the system from this size on. */
const TRIM_THRESHOLD = { option: -1, bytes: 8 * 1024 * 1024 }
/** M_MMAP_THRESHOLD: blocks of this size or more are mapped individually. */
const MMAP_THRESHOLD = { option: -3, bytes: 256 * 1024 }

/**
 * Makes the allocator return freed memory from now on.
 * @returns false when that is not possible: not on Linux, with another C library, or without the koffi package that
 * calls it. The process works as well, but may keep memory that it does not use.
 */
export async function giveBackFreedMemory(): Promise<boolean> {
  if (process.platform !== 'linux') return false
  try {
    const { default: koffi } = await import('koffi')
    const mallopt = koffi.load('libc.so.6').func('int mallopt(int, int)')
    return [TRIM_THRESHOLD, MMAP_THRESHOLD].every(({ option, bytes }) => mallopt(option, bytes) === 1)
  } catch {
    return false
  }
}
