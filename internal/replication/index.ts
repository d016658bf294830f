export type { Consistency, OperationOptions, PutOptions, ScanOptions, ScanPage, WriteResult } from './operations.js'
