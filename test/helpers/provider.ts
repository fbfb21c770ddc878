/** An identity provider of a test's own. */
import { exportSPKI, generateKeyPair, SignJWT } from 'jose'

export const ISSUER = 'https://id.example'

/** What the server is told of its tokens, beside the key. */
export const CLAIMS = { issuer: ISSUER, audience: 'daybook', loginClaim: 'sub', groupsClaim: 'groups' }

/** Signs what a provider would, and what it would not. */
export async function provider() {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
  const stranger = await generateKeyPair('RS256')
  const sign = (
    claims: Record<string, unknown>,
    {
      key = privateKey as Parameters<SignJWT['sign']>[0],
      alg = 'RS256',
      exp = '5m' as string | number | null,
      kid = 'one'
    } = {}
  ) => {
    const token = new SignJWT({ iss: ISSUER, aud: 'daybook', sub: 'carol', groups: ['sales'], ...claims })
    token.setProtectedHeader({ alg, kid })
    if (exp !== null) token.setExpirationTime(exp)
    return token.sign(key)
  }
  const pem = await exportSPKI(publicKey)
  return { sign, pem, publicKey, privateKey, stranger: stranger.privateKey }
}
