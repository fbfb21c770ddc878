/** The certificate of the server: read from files, which can be reloaded, or generated for a developer's machine. */
import { createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { resourceUnusable, systemReason } from '../../errors.js'

export interface Certificate {
  readonly cert: string
  readonly key: string
}

/**
 * Reads a certificate and its private key.
 * @throws DaybookError `resource-unusable` if a file cannot be read, or the two do not belong together
 */
export function readCertificate(certFile: string, keyFile: string): Certificate {
  const certificate = { cert: readPem('--tls-cert', certFile), key: readPem('--tls-key', keyFile) }
  try {
    createSecureContext(certificate)
  } catch (cause) {
    const why = `${certFile} and ${keyFile} are not a certificate and its private key: ${(cause as Error).message}`
    throw resourceUnusable(why, cause)
  }
  return certificate
}

/** Generates a self-signed certificate for localhost, valid for 30 days. */
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

/**
 * Reads a public key or certificate. Rejects private keys.
 * @throws DaybookError `resource-unusable`
 */
export function readPublicKey(file: string): string {
  const pem = readPem('--jwt-public-key', file)
  try {
    if (createPublicKey(pem).asymmetricKeyType !== undefined && !pem.includes('PRIVATE')) return pem
  } catch {}
  throw resourceUnusable(`--jwt-public-key: ${file} is not a public key or certificate in PEM form`)
}

function readPem(flag: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw resourceUnusable(`${flag}: cannot read ${file}: ${systemReason(cause)}`, cause)
  }
}
