/** An identity provider for tests. */
import { exportSPKI, generateKeyPair, SignJWT } from 'jose'

export const ISSUER = 'https://id.example'

/** The settings with which the server accepts its tokens, without the key. */
export const CLAIMS = { issuer: ISSUER, audience: 'daybook', loginClaim: 'sub', groupsClaim: 'groups' }

/** Returns the keys, and a function that signs valid and invalid tokens. */
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
