/** CORS headers of the dialect (reference 1.4). */

/** Request headers that pages of other origins may send. */
export const CORS_ALLOW_HEADERS =
  'Content-Type, X-Requested-With, X-Forwarded-Host, X-Forwarded-Prefix, X-PINGOTHER, Authorization, ES-LongPoll, ES-ExpectedVersion, ES-EventId, ES-EventType, ES-RequireMaster, ES-RequireLeader, ES-HardDelete, ES-ResolveLinkTos'

/** Response headers that pages of other origins may read. */
export const CORS_EXPOSE_HEADERS = 'Location, ES-Position, ES-CurrentVersion'
