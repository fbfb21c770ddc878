import { DaybookError } from '../errors.js'
export const importEvents = {
  summary: 'TODO',
  async run(_argv: string[]): Promise<number> {
    throw new DaybookError('not-implemented', 'not yet')
  }
}
