/** The version of EventStoreDB whose HTTP API the dialect implements. */
export const API_VERSION = '23.10.7.0'
