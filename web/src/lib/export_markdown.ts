// One branch of a conversation as a Markdown page.
import { withAttachments } from './files';
import { t } from './i18n.svelte';
import { pathTo } from './tree';
import type { Conversation } from './types';

export function conversationMarkdown(conversation: Conversation): string {
  const parts = [`# ${conversation.title || t('untitled')}`];
  if (conversation.system_prompt !== '') parts.push(`> ${conversation.system_prompt.replaceAll('\n', '\n> ')}`);
  for (const message of pathTo(conversation.messages, conversation.head)) {
    parts.push(`## ${message.role === 'user' ? t('you') : t('answer')}`);
    parts.push(withAttachments(message.content, message.attachments));
  }
  return `${parts.join('\n\n')}\n`;
}

// A title as a file name that every system takes.
export function fileName(title: string, extension: string): string {
  const name = title.replace(/[\\/:*?"<>|\u0000-\u001f]/g, ' ').trim().slice(0, 60);
  return `${name === '' ? 'axk1' : name}.${extension}`;
}
