/** Operations on /streams/{stream}/metadata. */
import { MetadataWritten, StreamMetadata } from '../metadata.js'
import { StreamParams } from '../read.js'
import { ref } from '../ref.js'
import { jsonContent, jsonResponse, problemResponses } from './responses.js'

const params = StreamParams
const document = jsonContent(StreamMetadata)
const written = jsonResponse('On disk.', MetadataWritten)

export const metadataOperations = {
  get: {
    operationId: 'getMetadata',
    summary: 'What is known of a stream',
    tags: ['streams'],
    params,
    response: {
      200: {
        description:
          'Its metadata under the names that PUT and PATCH take. Without `Accept`, and for `*/*`, the same as `application/json`; for `application/json` alone the document as EventStoreDB shows it (`$maxAge` in seconds), which PUT and PATCH refuse.',
        content: { 'application/vnd.daybook.metadata+json': { schema: ref(StreamMetadata) } }
      },
      ...problemResponses([400, 404, 406, 410])
    }
  },
  put: {
    operationId: 'putMetadata',
    summary: 'Replace what is known of a stream',
    tags: ['streams'],
    params,
    body: { content: document },
    response: { 200: written, 201: written, ...problemResponses([400, 410, 412, 415, 503, 507]) }
  },
  patch: {
    operationId: 'patchMetadata',
    summary: 'Change what is known of a stream, by a JSON merge patch (RFC 7396)',
    tags: ['streams'],
    params,
    body: { content: { 'application/merge-patch+json': { schema: ref(StreamMetadata) }, ...document } },
    response: { 200: written, 201: written, ...problemResponses([400, 410, 412, 415, 503, 507]) }
  },
  append: {
    operationId: 'appendMetadata',
    summary: 'Write metadata as an event',
    tags: ['atom'],
    params,
    response: { 201: { type: 'null', description: 'On disk.' } }
  }
}
