/** Operations on /streams, /categories and /types: what is in the store. */
import type { TSchema } from 'typebox'
import { CategoryList, ListingQuery, StreamList, TypeList } from '../listings.js'
import { jsonResponse, problemResponses } from './responses.js'

function listing(operationId: string, member: string, shape: TSchema) {
  return {
    operationId,
    summary: `The ${member} in the store, by name`,
    tags: ['listings'],
    querystring: ListingQuery,
    response: { 200: jsonResponse('Names in UTF-8 order.', shape), ...problemResponses([400, 409]) }
  }
}

export const listingOperations = {
  streams: listing('listStreams', 'streams', StreamList),
  categories: listing('listCategories', 'categories', CategoryList),
  types: listing('listTypes', 'types', TypeList),
  /** As `streams`, at the address with a slash at its end. */
  streamsWithSlash: { hide: true, querystring: ListingQuery }
}
