/** The version of EventStoreDB whose HTTP API is spoken here. */
export const API_VERSION = '23.10.7.0'
