import type { Server } from '@grpc/grpc-js'
import { ReflectionService } from '@grpc/reflection'
import { fileDescriptors } from '@quorumkv/proto/descriptors'

/**
 * Lets clients ask which calls there are (gRPC Server Reflection, v1 and v1alpha): of kv.v1 and grpc.health.v1, and not those
 * between nodes. The library wants what proto-loader makes of schemas; of that it reads only the descriptors.
 */
export function addReflection(server: Server): void {
  const fileDescriptorProtos = fileDescriptors.map((text) => Buffer.from(text, 'base64'))
  const definition = { format: 'Protocol Buffer 3 EnumDescriptorProto' as const, type: {}, fileDescriptorProtos }
  new ReflectionService({ 'kv.v1': definition }).addToServer(server)
}
