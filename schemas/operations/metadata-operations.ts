/** Operations on /streams/{stream}/metadata. */
import { MetadataWritten, StreamMetadata } from '../metadata.js'
import { StreamParams } from '../read.js'
import { ref } from '../ref.js'
import { jsonContent, jsonResponse, problemResponses } from './responses.js'

const params = StreamParams
const document = jsonContent(StreamMetadata)
const written = jsonResponse('The metadata is stored on disk.', MetadataWritten)

export const metadataOperations = {
  get: {
    operationId: 'getMetadata',
    summary: 'Get the metadata of a stream',
    tags: ['streams'],
    params,
    response: {
      200: {
        description:
          'The metadata, with the member names that PUT and PATCH accept. Without `Accept`, and with `*/*`, the same document is sent as `application/json`. With `Accept: application/json` alone, the response is the document in the form of EventStoreDB (`$maxAge` in seconds), which PUT and PATCH refuse.',
        content: { 'application/vnd.daybook.metadata+json': { schema: ref(StreamMetadata) } }
      },
      ...problemResponses([400, 404, 406, 410])
    }
  },
  put: {
    operationId: 'putMetadata',
    summary: 'Replace the metadata of a stream',
    tags: ['streams'],
    params,
    body: { content: document },
    response: { 200: written, 201: written, ...problemResponses([400, 410, 412, 415, 503, 507]) }
  },
  patch: {
    operationId: 'patchMetadata',
    summary: 'Change the metadata of a stream with a JSON merge patch (RFC 7396)',
    tags: ['streams'],
    params,
    body: { content: { 'application/merge-patch+json': { schema: ref(StreamMetadata) }, ...document } },
    response: { 200: written, 201: written, ...problemResponses([400, 410, 412, 415, 503, 507]) }
  },
  append: {
    operationId: 'appendMetadata',
    summary: 'Write the metadata of a stream as an event (EventStoreDB API)',
    tags: ['atom'],
    params,
    response: { 201: { type: 'null', description: 'The metadata is stored on disk.' } }
  }
}
