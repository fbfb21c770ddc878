/** What each command does, in one line: for `daybook --help` and the command's own `--help`. */
export const summaries = {
  serve: 'run the server (the default command)',
  import: 'append the events of an NDJSON file (plain or gzip; "-" is standard input)',
  export: 'write all events as NDJSON, one event per line',
  verify: 'check all files of a directory and report what is damaged or inconsistent',
  recover: 'repair a directory whose log lost events, so that the server can start again'
} as const
