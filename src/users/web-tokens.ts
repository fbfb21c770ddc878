/**
 * JSON Web Tokens of an identity provider. They are verified with the provider's keys or one public key, and yield a
 * principal with the groups of a claim. Only public-key algorithms are accepted: with a shared key, a server that
 * verifies tokens could also forge them.
 */
import {
  createRemoteJWKSet,
  errors,
  importSPKI,
  importX509,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify
} from 'jose'
import type { Principal } from '../access/permissions.js'
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { Clock } from '../time/clock.js'

export interface WebTokenOptions {
  /** URL of the provider's keys. Alternative to `publicKey`. */
  readonly jwks?: string | undefined
  /** A public key or certificate, PEM. */
  readonly publicKey?: string | undefined
  readonly issuer?: string | undefined
  readonly audience?: string | undefined
  /** The claim with the user's login. */
  readonly loginClaim: string
  /** The claim with the list of groups; `a.b` is `b` in `a`. */
  readonly groupsClaim: string
}

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

export class WebTokens {
  readonly #options: WebTokenOptions
  readonly #keys: JWTVerifyGetKey

  constructor(options: WebTokenOptions, clock: Clock) {
    this.#options = options
    const { jwks, publicKey = '' } = options
    this.#keys = jwks === undefined ? ({ alg }) => importKey(publicKey, alg ?? '') : fetchedKeys(new URL(jwks), clock)
  }

  /**
   * Returns the principal of a token; undefined when the provider did not sign it or its claims name no user.
   * @param now milliseconds
   * @throws `wrong-credentials` for a signed token that has expired or is not for this server; `overloaded` when the
   * keys cannot be fetched
   */
  async principalOf(text: string, now: number): Promise<Principal | undefined> {
    const { issuer, audience, loginClaim, groupsClaim } = this.#options
    let payload: JWTPayload
    try {
      const checks = { algorithms: ALGORITHMS, issuer, audience, currentDate: new Date(now), requiredClaims: ['exp'] }
      payload = (await jwtVerify(text, this.#keys, checks)).payload
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new DaybookError('wrong-credentials', 'The token has expired.')
      if (error instanceof errors.JWTClaimValidationFailed) {
        // The signature was verified, so only the token's holder learns this.
        throw new DaybookError('wrong-credentials', `This server does not accept the token's "${error.claim}" claim.`)
      }
      if (isInvalidToken(error)) return undefined
      throw new DaybookError(
        'overloaded',
        'The keys of the identity provider, which this server needs to verify tokens, could not be fetched.',
        { retry: true },
        error
      )
    }
    const login = claim(payload, loginClaim)
    // A login that begins with "$" would be taken for a role. The login "admin" is an administrator by its name.
    if (typeof login !== 'string' || login === '' || login.startsWith('$') || login === 'admin') return undefined
    const groups = claim(payload, groupsClaim) ?? []
    const list = typeof groups === 'string' ? groups.split(' ') : groups
    if (!Array.isArray(list) || !list.every((group) => typeof group === 'string')) return undefined
    return { login, groups: list, expires: (payload.exp as number) * 1000, accountVersion: 'none', by: 'jwt' }
  }
}

/**
 * Returns the provider's keys. Fetches them again when they are old or lack a token's key. The age is measured by the
 * monotonic clock: the library uses the system clock, and would keep withdrawn keys for as long as it was set back.
 */
function fetchedKeys(url: URL, clock: Clock): JWTVerifyGetKey {
  const never = { cacheMaxAge: Infinity, cooldownDuration: Infinity }
  const keys = createRemoteJWKSet(url, { ...never, timeoutDuration: limits.jwks_timeout_ms })
  let fetched = -Infinity
  const fetchOlderThan = async (ms: number) => {
    if (clock.elapsed() - fetched < ms) return false
    await keys.reload()
    fetched = clock.elapsed()
    return true
  }
  return async (header, token) => {
    await fetchOlderThan(limits.jwks_cache_ms)
    try {
      return await keys(header, token)
    } catch (error) {
      const isUnknown = error instanceof errors.JWKSNoMatchingKey
      if (!isUnknown || !(await fetchOlderThan(limits.jwks_refetch_ms_min))) throw error
      return keys(header, token)
    }
  }
}

/** Returns true for an invalid token, false for a failure to fetch the keys. */
function isInvalidToken(error: unknown): boolean {
  if (!(error instanceof errors.JOSEError)) return false // thrown by the fetch
  return !(
    error instanceof errors.JWKSTimeout ||
    error instanceof errors.JWKSInvalid ||
    error.constructor === errors.JOSEError
  )
}

async function importKey(pem: string, algorithm: string): Promise<Awaited<ReturnType<typeof importSPKI>>> {
  try {
    return await (pem.includes('BEGIN CERTIFICATE') ? importX509(pem, algorithm) : importSPKI(pem, algorithm))
  } catch (cause) {
    // The key is not of the type that `alg` requires.
    throw new errors.JWKSNoMatchingKey(undefined, { cause })
  }
}

/** Returns a claim by its name, or by a path of names separated by dots. */
function claim(payload: JWTPayload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path]
  let value: unknown = payload
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return value
}
