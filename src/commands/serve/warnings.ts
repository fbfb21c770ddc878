/** Warnings for the operator, on standard error. */
import { X509Certificate } from 'node:crypto'
import type { Store } from '../../store/store.js'
import type { Clock } from '../../time/clock.js'
import { FIRST_PASSWORD } from '../../users/first-accounts.js'
import { warn } from '../wording.js'
import type { Certificate } from './certificate.js'

const DAY_MS = 86_400_000

/** Warns of accounts with the default password, and of configured initial passwords that have no effect. */
export async function warnOfPasswords({ accounts, options }: Pick<Store, 'accounts' | 'options'>): Promise<void> {
  const open = accounts.withFirstPassword()
  if (open.length > 0) {
    const one = open.length === 1
    warn(
      `${open.join(' and ')} ${one ? 'has' : 'have'} the password "${FIRST_PASSWORD}", which everybody knows; change it before others can reach this server`
    )
  }
  for (const [login, password] of Object.entries(options.firstPasswords ?? {})) {
    if (password === undefined || (await accounts.verify(login, password)) !== undefined) continue
    warn(
      `DAYBOOK_${login.toUpperCase()}_PASSWORD has no effect: the password of ${login} was changed, and the variable sets the initial password only`
    )
  }
}

/** Warns of a certificate that has expired or expires within 14 days. */
export function warnOfExpiry({ cert }: Certificate, clock: Clock): void {
  const { validTo } = new X509Certificate(cert)
  const days = Math.floor((Date.parse(validTo) - clock.now()) / DAY_MS)
  if (days < 14) warn(days < 0 ? `the certificate expired on ${validTo}` : `the certificate expires on ${validTo}`)
}
