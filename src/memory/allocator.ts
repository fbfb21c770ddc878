/**
 * How the C library's allocator gives memory back. glibc takes large pieces from the system one by one, and gives each back
 * when it is freed; but the first one that is freed makes it keep pieces of that size in its heaps from then on, one heap for
 * each thread. After some events of 4 MiB these heaps hold hundreds of megabytes of nothing. Fixed thresholds end that.
 */

/** Of <malloc.h>: a heap gives back what is free at its end from this size on… */
const TRIM_THRESHOLD = { option: -1, bytes: 8 * 1024 * 1024 }
/** …and pieces from this size on are taken from the system one by one. */
const MMAP_THRESHOLD = { option: -3, bytes: 256 * 1024 }

/**
 * Has freed memory given back from now on.
 * @returns false where that is not so: this is not Linux, its C library is another one, or koffi, which calls it, is not
 * installed. Such a process works as well, and may keep memory that it does not use.
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
