/** Headers by which pages of other origins speak the dialect (reference 1.4). */

/** Headers that requests may carry. */
export const CORS_ALLOW_HEADERS =
  'Content-Type, X-Requested-With, X-Forwarded-Host, X-Forwarded-Prefix, X-PINGOTHER, Authorization, ES-LongPoll, ES-ExpectedVersion, ES-EventId, ES-EventType, ES-RequireMaster, ES-RequireLeader, ES-HardDelete, ES-ResolveLinkTos'

/** Headers of answers that such pages may read. */
export const CORS_EXPOSE_HEADERS = 'Location, ES-Position, ES-CurrentVersion'
