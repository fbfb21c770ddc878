/** The certificate that the server shows: from files, which may be read again, or made for a developer's machine. */
import { createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { resourceUnusable, systemReason } from '../../errors.js'

export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** @throws `resource-unusable` when they cannot be read, or are no certificate and its key */
export function readCertificate(certFile: string, keyFile: string): Certificate {
  const certificate = { cert: readPem('--tls-cert', certFile), key: readPem('--tls-key', keyFile) }
  try {
    createSecureContext(certificate)
  } catch (cause) {
    const why = `${certFile} and ${keyFile} are not a certificate and its key: ${(cause as Error).message}`
    throw resourceUnusable(why, cause)
  }
  return certificate
}

/** One for this machine's own names, good for a month, that nobody else vouches for. */
export async function makeCertificate(now: number): Promise<Certificate & { readonly fingerprint: string }> {
  const { generate } = await import('selfsigned')
  const {
    cert,
    private: key,
    fingerprint
  } = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notAfterDate: new Date(now + 30 * 86_400_000),
    extensions: [
      { name: 'basicConstraints', cA: false },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
          { type: 7, ip: '::1' }
        ]
      }
    ]
  })
  return { cert, key, fingerprint }
}

/** @throws `resource-unusable` when it is no public key and no certificate */
export function readPublicKey(file: string): string {
  const pem = readPem('--jwt-public-key', file)
  try {
    if (createPublicKey(pem).asymmetricKeyType !== undefined && !pem.includes('PRIVATE')) return pem
  } catch {}
  throw resourceUnusable(`--jwt-public-key: ${file} is not a public key in PEM`)
}

function readPem(flag: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw resourceUnusable(`${flag}: cannot read ${file}: ${systemReason(cause)}`, cause)
  }
}
