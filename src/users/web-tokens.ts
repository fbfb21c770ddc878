/**
 * JSON Web Tokens of an identity provider: checked against its keys, or one public key, and taken for a principal with
 * the groups that a claim says. Only signatures with a public key count, so that a server that checks tokens cannot make them.
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
  /** Where the keys are; or `publicKey`. */
  readonly jwks?: string | undefined
  /** A public key or certificate, PEM. */
  readonly publicKey?: string | undefined
  readonly issuer?: string | undefined
  readonly audience?: string | undefined
  /** The claim that names the user. */
  readonly loginClaim: string
  /** The claim that lists groups; `a.b` is `b` in `a`. */
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
   * Whose token a text is; undefined when it is none of the provider's, or its claims make nobody.
   * @param now milliseconds
   * @throws `wrong-credentials` for one of the provider's that is over, or not for this server; `overloaded` when the
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
        // The token is signed, so that only its holder learns this.
        throw new DaybookError('wrong-credentials', `The "${error.claim}" of the token is not what this server takes.`)
      }
      if (isRefusal(error)) return undefined
      throw new DaybookError('overloaded', 'The keys that sign tokens cannot be fetched.', { retry: true }, error)
    }
    const login = claim(payload, loginClaim)
    // A name that begins with "$" would be taken for a role, and the first administrator is one by name.
    if (typeof login !== 'string' || login === '' || login.startsWith('$') || login === 'admin') return undefined
    const groups = claim(payload, groupsClaim) ?? []
    const list = typeof groups === 'string' ? groups.split(' ') : groups
    if (!Array.isArray(list) || !list.every((group) => typeof group === 'string')) return undefined
    return { login, groups: list, expires: (payload.exp as number) * 1000, accountVersion: 'none', by: 'jwt' }
  }
}

/**
 * The provider's keys: fetched again when they are old, or have no key for a token. The library measures both with the
 * time of day, and would go on with keys that were withdrawn for as long as a clock was set back.
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
    await fetchOlderThan(limits.jwks_known_ms)
    try {
      return await keys(header, token)
    } catch (error) {
      const isUnknown = error instanceof errors.JWKSNoMatchingKey
      if (!isUnknown || !(await fetchOlderThan(limits.jwks_again_ms))) throw error
      return keys(header, token)
    }
  }
}

/** True when the token is wrong, and not the way to its keys. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof errors.JOSEError)) return false // what fetching throws
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
    // It is of another kind than `alg` says.
    throw new errors.JWKSNoMatchingKey(undefined, { cause })
  }
}

/** A claim by its name, or by a path of names. */
function claim(payload: JWTPayload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path]
  let value: unknown = payload
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return value
}
