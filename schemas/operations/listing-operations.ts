/** Operations on /streams, /categories and /types: listings of the store. */
import type { TSchema } from 'typebox'
import { CategoryList, ListingQuery, StreamList, TypeList } from '../listings.js'
import { jsonResponse, problemResponses } from './responses.js'

function listing(operationId: string, member: string, shape: TSchema) {
  return {
    operationId,
    summary: `List the ${member} in the store by name`,
    tags: ['listings'],
    querystring: ListingQuery,
    response: { 200: jsonResponse('Names in UTF-8 order.', shape), ...problemResponses([400, 409]) }
  }
}

export const listingOperations = {
  streams: listing('listStreams', 'streams', StreamList),
  categories: listing('listCategories', 'categories', CategoryList),
  types: listing('listTypes', 'types', TypeList),
  /** The same as `streams`, at the address with a trailing slash. */
  streamsWithSlash: { hide: true, querystring: ListingQuery }
}
