/** Headers of answers that are written bit by bit. */
import { mediaTypes } from '../wire/media-types.js'

/**
 * Nobody keeps a live answer, and no proxy holds it back: one that compresses would wait for a block to be full
 * (`no-transform`, RFC 9111 5.2.2.6), and nginx would fill its buffer.
 */
export function liveHeaders(format: 'sse' | 'ndjson'): Record<string, string> {
  return {
    'content-type': mediaTypes[format],
    'cache-control': 'private, no-store, no-transform',
    'x-accel-buffering': 'no'
  }
}
