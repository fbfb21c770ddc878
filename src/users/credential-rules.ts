/** Rules for logins and passwords. */
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import { faultOfName } from '../streams/names.js'

/** @throws `invalid-user` for a login that is not a valid name or that looks like a role */
export function checkLogin(login: string): void {
  const fault = faultOfName(login)
  if (fault !== undefined) throw invalidUser(`A login ${fault}.`)
  if (Buffer.byteLength(login) > limits.login_bytes_max) {
    throw invalidUser(`A login has at most ${limits.login_bytes_max} bytes of UTF-8.`)
  }
  if (login.includes(':'))
    throw invalidUser('A login must not contain ":", where the password begins in Basic credentials.')
  if (login.startsWith('$')) throw invalidUser('A login must not begin with "$", as roles do.')
}

/** @throws `invalid-user` */
export function checkPassword(password: string): void {
  const bytes = Buffer.byteLength(password)
  if (bytes > 0 && bytes <= limits.password_bytes_max && !password.includes('\0')) return
  throw invalidUser(`A password must have 1 to ${limits.password_bytes_max} bytes of UTF-8 and no zero byte.`)
}

function invalidUser(why: string): DaybookError {
  return new DaybookError('invalid-user', why)
}
