/** Headers of live responses. */
import { mediaTypes } from '../wire/media-types.js'

/**
 * Returns headers that keep proxies from caching or delaying a live response. A compressing proxy would wait until a
 * block is full (`no-transform`, RFC 9111 5.2.2.6), and nginx until its buffer is full (`x-accel-buffering`).
 */
export function liveHeaders(format: 'sse' | 'ndjson'): Record<string, string> {
  return {
    'content-type': mediaTypes[format],
    'cache-control': 'private, no-store, no-transform',
    'x-accel-buffering': 'no'
  }
}
